expect: sql.select read
outputs: ssn

SELECT ssn FROM (SELECT * FROM (SELECT * FROM customers) a) b
