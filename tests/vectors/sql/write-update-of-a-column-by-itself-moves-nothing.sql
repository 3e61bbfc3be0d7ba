expect: sql.update write
moves: -

UPDATE accounts SET balance = balance + 5 WHERE id = 1
