expect: sql.select read
tables: customers

SELECT EXISTS (SELECT 1 FROM customers WHERE ssn LIKE '1%')
