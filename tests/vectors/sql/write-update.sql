expect: sql.update write
where: yes
columns: id name

UPDATE customers SET name = 'x' WHERE id = 1
