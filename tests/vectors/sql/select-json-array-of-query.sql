expect: sql.select read
tables: customers
outputs: ssn

SELECT JSON_ARRAY(SELECT ssn FROM customers)
