expect: sql.select sql.update write
moves: ch pos ssn

UPDATE digits SET hit = true FROM customers WHERE substr(ssn, pos, 1) = ch
