expect: sql.select read
outputs: ssn

SELECT c.ssn AS harmless FROM customers AS c
