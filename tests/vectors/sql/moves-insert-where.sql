expect: sql.insert sql.select write
moves: d id p ssn

INSERT INTO notes (body) SELECT p || d FROM generate_series(1, 11) p, generate_series(0, 9) d, customers c WHERE c.id = 1 AND substr(c.ssn, p, 1) = d::text
