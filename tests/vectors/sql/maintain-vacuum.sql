expect: sql.maintain write
tables: customers

VACUUM FULL customers
