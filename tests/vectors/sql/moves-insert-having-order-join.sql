expect: sql.insert sql.select write
moves: card email id phone ssn

INSERT INTO notes (body) SELECT 'x' FROM customers c JOIN customers d ON c.card = d.email GROUP BY c.id HAVING max(c.ssn) < 'x' ORDER BY min(c.phone)
