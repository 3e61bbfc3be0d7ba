expect: sql.delete write
where: yes

DELETE FROM customers WHERE ctid = '(0,1)'
