expect: sql.delete write
where: no

DELETE /*+ WHERE id = 1 */ FROM customers
