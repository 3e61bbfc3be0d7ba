expect: sql.delete write
where: no

DELETE FROM customers WHERE id = ANY (ARRAY[id])
