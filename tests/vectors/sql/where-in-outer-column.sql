expect: sql.delete sql.select write
where: no

DELETE FROM customers WHERE id IN (SELECT customers.id FROM orders)
