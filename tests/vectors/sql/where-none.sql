expect: sql.delete write
where: no

DELETE FROM customers
