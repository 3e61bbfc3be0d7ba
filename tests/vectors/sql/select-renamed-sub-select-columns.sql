expect: sql.select read
outputs: ssn

SELECT b FROM (SELECT id, ssn FROM customers) t(a, b)
