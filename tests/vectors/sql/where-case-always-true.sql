expect: sql.delete write
where: no

DELETE FROM customers WHERE CASE WHEN id = 1 THEN true ELSE true END
