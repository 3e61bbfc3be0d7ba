expect: sql.delete write
where: no

DELETE FROM customers WHERE id = 1 OR (name = 'x' OR (2 > 1))
