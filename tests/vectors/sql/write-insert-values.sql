expect: sql.insert write
tables: orders
columns: total
moves: -

INSERT INTO orders (total) VALUES (1)
