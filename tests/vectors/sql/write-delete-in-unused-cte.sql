expect: sql.delete write
where: no

WITH x AS (DELETE FROM customers) SELECT 1
