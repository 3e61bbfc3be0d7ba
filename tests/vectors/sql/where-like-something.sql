expect: sql.delete write
where: yes

DELETE FROM customers WHERE name LIKE 'a%'
