expect: sql.select read
outputs: ssn

SELECT upper(substr(ssn, 1, 3)) || '-' FROM customers
