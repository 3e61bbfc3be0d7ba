expect: sql.delete write
where: yes

DELETE FROM customers WHERE (id, name) = (1, 'x')
