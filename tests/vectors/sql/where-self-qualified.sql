expect: sql.delete write
where: no

DELETE FROM customers c WHERE c.id = id
