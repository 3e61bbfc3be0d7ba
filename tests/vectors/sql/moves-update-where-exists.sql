expect: sql.select sql.update write
moves: ch pos ssn

UPDATE digits SET hit = true WHERE EXISTS (SELECT 1 FROM customers c WHERE substr(c.ssn, digits.pos, 1) = digits.ch)
