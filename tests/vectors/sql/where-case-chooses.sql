expect: sql.delete write
where: yes

DELETE FROM customers WHERE CASE WHEN id = 1 THEN true ELSE false END
