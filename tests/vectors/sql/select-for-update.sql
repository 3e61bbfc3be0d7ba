expect: sql.lock sql.select write
tables: customers

SELECT id FROM customers WHERE id = 1 FOR UPDATE
