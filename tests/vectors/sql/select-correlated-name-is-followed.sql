expect: sql.select read
outputs: id,s,ssn

SELECT (SELECT s FROM orders WHERE orders.id = d.id LIMIT 1) || max(d.id) FROM (SELECT ssn AS s, id FROM customers) d GROUP BY d.s
