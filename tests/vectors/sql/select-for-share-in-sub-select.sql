expect: sql.lock sql.select write

SELECT * FROM (SELECT id FROM customers FOR SHARE) t
