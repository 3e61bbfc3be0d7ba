expect: sql.delete sql.select write
where: no

DELETE FROM customers WHERE id = ANY (ARRAY(SELECT id FROM customers))
