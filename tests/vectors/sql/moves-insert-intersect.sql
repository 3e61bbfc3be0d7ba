expect: sql.insert sql.select write
moves: guess ssn

INSERT INTO notes (body) SELECT 'x' WHERE EXISTS (SELECT ssn FROM customers INTERSECT SELECT guess FROM guesses)
