expect: sql.select read
outputs: star *,c ?

SELECT (c).* FROM customers c
