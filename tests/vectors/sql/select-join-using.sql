expect: sql.select read
columns: * id
outputs: star *

SELECT * FROM customers JOIN orders USING (id)
