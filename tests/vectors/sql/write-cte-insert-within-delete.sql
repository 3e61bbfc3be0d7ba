expect: sql.delete sql.insert write
where: no

WITH a AS (INSERT INTO log VALUES (1)) DELETE FROM customers
