expect: sql.delete sql.select write
where: yes

WITH old AS (SELECT id FROM customers WHERE seen < now() LIMIT 100) DELETE FROM customers WHERE id IN (SELECT id FROM old)
