expect: sql.select read
outputs: ssn

SELECT xmlforest(ssn AS a) FROM customers
