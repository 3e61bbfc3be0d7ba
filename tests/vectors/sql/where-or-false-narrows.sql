expect: sql.delete write
where: yes

DELETE FROM customers WHERE id = 1 OR false
