expect: sql.select sql.update write
moves: id ssn

UPDATE customers SET ssn = (SELECT ssn FROM customers WHERE id = 2) WHERE id = 1 RETURNING ssn
