expect: sql.delete write
where: no

WITH a AS (DELETE FROM customers) DELETE FROM customers WHERE id = 1
