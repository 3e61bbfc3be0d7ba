expect: sql.select read
tables: customers
columns: name id
outputs: name

SELECT name FROM customers WHERE id = 1
