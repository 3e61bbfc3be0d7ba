expect: sql.select read
outputs: ssn

SELECT row_number() OVER (ORDER BY ssn) FROM customers
