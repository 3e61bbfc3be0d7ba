expect: sql.insert sql.select write
moves: ssn

INSERT INTO notes (body) SELECT 'x' FROM customers JOIN guesses USING (ssn)
