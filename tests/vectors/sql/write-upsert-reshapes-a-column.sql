expect: sql.insert sql.update write
moves: ssn

INSERT INTO customers (id, ssn) VALUES (1, '') ON CONFLICT (id) DO UPDATE SET ssn = 'x@' || customers.ssn RETURNING ssn
