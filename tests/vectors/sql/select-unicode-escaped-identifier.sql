expect: sql.select read
tables: customers
outputs: ssn

SELECT U&"\0073sn" FROM U&"\0063ustomers"
