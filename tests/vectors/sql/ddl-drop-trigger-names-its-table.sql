expect: sql.drop admin
tables: s.customers

DROP TRIGGER audit ON s.customers
