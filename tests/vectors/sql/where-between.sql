expect: sql.delete write
where: yes

DELETE FROM customers WHERE id BETWEEN 1 AND 5
