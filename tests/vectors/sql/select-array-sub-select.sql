expect: sql.select read
outputs: ssn

SELECT ARRAY(SELECT ssn FROM customers)
