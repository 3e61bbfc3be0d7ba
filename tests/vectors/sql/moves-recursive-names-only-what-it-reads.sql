expect: sql.insert sql.select write
moves: id

WITH RECURSIVE n AS (SELECT id FROM customers UNION ALL SELECT id + 1 FROM n WHERE id < 9) INSERT INTO notes (body) SELECT id FROM n
