expect: sql.delete sql.select write
where: no

DELETE FROM customers c WHERE EXISTS (SELECT count(*) FROM orders o WHERE o.customer_id = c.id)
