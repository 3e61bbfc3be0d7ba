expect: sql.drop admin
tables: customers s.orders

DROP TABLE IF EXISTS customers, s.orders CASCADE
