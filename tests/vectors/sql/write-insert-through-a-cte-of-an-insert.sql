expect: sql.insert sql.select write
moves: ssn

WITH a AS (SELECT ssn FROM customers) INSERT INTO notes (body) SELECT ssn FROM a
