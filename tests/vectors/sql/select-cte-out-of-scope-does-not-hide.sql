expect: sql.select read
tables: customers

SELECT * FROM (WITH customers AS (SELECT 1 AS a) SELECT a FROM customers) x, customers
