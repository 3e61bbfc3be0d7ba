expect: sql.select read
outputs: star *?

SELECT * FROM customers UNION ALL SELECT * FROM archive
