expect: sql.delete write
where: no

DELETE FROM customers WHERE id IS NOT DISTINCT FROM id
