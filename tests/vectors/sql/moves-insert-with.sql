expect: sql.insert sql.select write
moves: ssn

WITH found AS (SELECT 1 AS n FROM customers WHERE ssn LIKE '1%') INSERT INTO notes (body) SELECT n FROM found
