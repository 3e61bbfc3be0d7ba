expect: sql.update write
where: yes

PREPARE p(int) AS UPDATE customers SET name = 'x' WHERE id = $1
