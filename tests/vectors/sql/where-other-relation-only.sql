expect: sql.delete sql.select write
where: no

DELETE FROM customers USING orders o WHERE o.id = 1
