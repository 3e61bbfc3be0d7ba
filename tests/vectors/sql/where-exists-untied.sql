expect: sql.delete sql.select write
where: no

DELETE FROM customers WHERE EXISTS (SELECT 1 FROM orders)
