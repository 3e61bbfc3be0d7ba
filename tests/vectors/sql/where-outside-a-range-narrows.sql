expect: sql.delete write
where: yes

DELETE FROM customers WHERE age < 18 OR age > 65
