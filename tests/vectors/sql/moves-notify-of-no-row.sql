expect: sql.notify sql.select write
moves: -

SELECT pg_notify('a', 'b') FROM customers WHERE id = 1
