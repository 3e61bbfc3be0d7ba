expect: sql.update write
moves: ssn
outputs: ssn

UPDATE customers SET ssn = 'x@' || ssn || '.com' WHERE id = 1 RETURNING ssn
