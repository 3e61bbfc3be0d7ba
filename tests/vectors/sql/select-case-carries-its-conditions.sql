expect: sql.select read
outputs: ssn

SELECT CASE WHEN ssn LIKE '1%' THEN 'a' ELSE 'b' END FROM customers
