expect: sql.select sql.update write
moves: email ssn
columns: a b email id ssn

UPDATE notes SET (a, b) = (SELECT ssn, email FROM customers LIMIT 1) WHERE id = 1
