expect: sql.insert sql.select write
moves: d ssn

INSERT INTO notes (body) SELECT d FROM generate_series(0, 9) d WHERE EXISTS (SELECT * FROM customers WHERE ssn LIKE d || '%')
