expect: sql.update write
moves: balance

UPDATE accounts SET balance = balance + 5 WHERE id = 1
