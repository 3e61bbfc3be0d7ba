expect: sql.delete write
where: no

DELETE FROM customers WHERE (id, name) = (id, name)
