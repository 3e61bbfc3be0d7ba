expect: sql.select read
outputs: -
columns: -

SELECT count(*) FROM customers
