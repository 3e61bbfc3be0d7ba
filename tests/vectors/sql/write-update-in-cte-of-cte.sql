expect: sql.update write
where: no

WITH a AS (WITH b AS (UPDATE customers SET name = '' RETURNING 1) SELECT * FROM b) SELECT * FROM a
