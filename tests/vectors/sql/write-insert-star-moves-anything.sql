expect: sql.insert sql.select write
moves: *

INSERT INTO notes SELECT * FROM customers
