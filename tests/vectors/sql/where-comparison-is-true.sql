expect: sql.delete write
where: no

DELETE FROM customers WHERE (id = id) = true
