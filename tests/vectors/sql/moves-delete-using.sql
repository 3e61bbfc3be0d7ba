expect: sql.delete sql.select write
moves: ch pos ssn

DELETE FROM digits USING customers c WHERE substr(c.ssn, digits.pos, 1) <> digits.ch
