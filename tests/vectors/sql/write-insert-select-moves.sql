expect: sql.insert sql.select write
moves: ssn
tables: notes customers

INSERT INTO notes (body) SELECT ssn FROM customers
