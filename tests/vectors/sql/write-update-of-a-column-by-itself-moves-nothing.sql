expect: sql.update write
moves: -

UPDATE accounts a SET balance = balance, owner = a.owner WHERE id = 1
