expect: sql.delete write
where: yes

DELETE FROM customers WHERE id > 0
