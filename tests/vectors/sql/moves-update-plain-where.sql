expect: sql.update write
moves: -

UPDATE customers SET seen = true WHERE ssn = '1'
