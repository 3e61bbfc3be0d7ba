expect: sql.update write
where: yes

UPDATE customers SET name = 'x' WHERE CURRENT OF c
