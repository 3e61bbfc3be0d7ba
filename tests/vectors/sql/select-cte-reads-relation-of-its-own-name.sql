expect: sql.select read
tables: customers
outputs: ssn

WITH customers AS (SELECT * FROM customers) SELECT ssn FROM customers
