expect: sql.delete write
where: no

DELETE FROM customers WHERE EXISTS (SELECT 1)
