expect: sql.select sql.update write
moves: id ssn

UPDATE notes SET body = (SELECT 'x' FROM customers WHERE id = 1 AND ssn LIKE '1%') WHERE title = 'a'
