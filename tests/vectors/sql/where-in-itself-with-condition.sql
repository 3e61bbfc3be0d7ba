expect: sql.delete sql.select write
where: yes

DELETE FROM customers WHERE id IN (SELECT id FROM customers WHERE country = 'x')
