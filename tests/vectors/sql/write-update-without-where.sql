expect: sql.update write
where: no

UPDATE customers SET name = 'x'
