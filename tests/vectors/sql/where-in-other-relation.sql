expect: sql.delete sql.select write
where: yes

DELETE FROM customers WHERE id IN (SELECT customer_id FROM closed)
