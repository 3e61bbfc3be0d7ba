expect: sql.delete write
where: no

DELETE FROM customers WHERE NOT (id IS NULL AND id IS NOT NULL)
