expect: sql.delete sql.select write
where: no

DELETE FROM customers c WHERE EXISTS (SELECT c.id FROM orders)
