expect: sql.delete write
where: no

DELETE FROM customers WHERE id IN (1, id)
