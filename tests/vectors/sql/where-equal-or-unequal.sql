expect: sql.delete write
where: no

DELETE FROM customers WHERE name = 'x' OR name <> 'x'
