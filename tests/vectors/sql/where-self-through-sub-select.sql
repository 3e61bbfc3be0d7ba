expect: sql.delete write
where: no

DELETE FROM customers WHERE id = (SELECT id)
