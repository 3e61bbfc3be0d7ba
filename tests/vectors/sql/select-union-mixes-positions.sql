expect: sql.select read
outputs: id | name,ssn

SELECT id, name FROM customers UNION SELECT id, ssn FROM customers
