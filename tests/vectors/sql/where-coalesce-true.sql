expect: sql.delete write
where: no

DELETE FROM customers WHERE coalesce(true, id = 1)
