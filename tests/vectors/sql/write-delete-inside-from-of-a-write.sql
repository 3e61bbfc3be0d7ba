expect: sql.delete sql.insert write
where: no

INSERT INTO log WITH d AS (DELETE FROM customers RETURNING id) SELECT id FROM d
