expect: sql.update write
moves: * ssn

UPDATE customers ssn SET ssn = ssn WHERE id = 1
