expect: sql.delete write
where: no

DELETE FROM customers WHERE id IS NULL OR id IS NOT NULL
