expect: sql.delete write
where: no

DELETE FROM customers WHERE id = 1 OR true
