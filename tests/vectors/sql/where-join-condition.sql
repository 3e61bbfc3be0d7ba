expect: sql.delete sql.select write
where: yes

DELETE FROM customers c USING orders o WHERE o.customer_id = c.id AND o.total < 0
