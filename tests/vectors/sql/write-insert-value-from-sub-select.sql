expect: sql.insert sql.select write
moves: ssn

INSERT INTO notes (body) VALUES ((SELECT ssn FROM customers LIMIT 1))
