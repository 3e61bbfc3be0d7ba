expect: sql.select read
tables: customers
columns: ssn

SELECT SSN FROM CUSTOMERS
