expect: sql.select read
tables: customers orders
outputs: id | ssn

SELECT id, (SELECT ssn FROM customers LIMIT 1) FROM orders
