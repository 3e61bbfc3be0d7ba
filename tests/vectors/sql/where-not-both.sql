expect: sql.delete write
where: no

DELETE FROM customers WHERE NOT (id = 1 AND id = 2) OR NOT (id <> 3)
