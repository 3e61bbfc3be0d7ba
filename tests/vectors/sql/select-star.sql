expect: sql.select read
columns: *
outputs: star *

SELECT * FROM customers
