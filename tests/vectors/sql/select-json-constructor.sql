expect: sql.select read
outputs: ssn

SELECT JSON_OBJECT('a': ssn) FROM customers
