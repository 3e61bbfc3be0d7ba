expect: sql.update write
moves: ssn

UPDATE customers SET name = ssn WHERE id = 1
