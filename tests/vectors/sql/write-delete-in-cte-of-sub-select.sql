expect: sql.delete sql.select write
where: no

SELECT * FROM orders WHERE id IN (WITH g AS (DELETE FROM customers RETURNING id) SELECT id FROM g)
