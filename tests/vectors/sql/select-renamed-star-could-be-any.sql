expect: sql.select read
outputs: *?

SELECT b FROM (SELECT * FROM customers) t(a, b)
