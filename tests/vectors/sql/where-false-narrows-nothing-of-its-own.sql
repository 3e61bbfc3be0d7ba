expect: sql.delete write
where: no

DELETE FROM customers WHERE 1 = 0
