expect: sql.delete write
where: yes

DELETE FROM customers WHERE coalesce(closed, false)
