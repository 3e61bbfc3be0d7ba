expect: sql.delete sql.select write
where: no

WITH a AS (SELECT id FROM customers), b AS (SELECT id FROM a) DELETE FROM customers WHERE id IN (SELECT id FROM b)
