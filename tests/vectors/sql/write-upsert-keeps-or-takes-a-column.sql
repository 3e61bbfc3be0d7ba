expect: sql.insert sql.update write
moves: -

INSERT INTO customers (id, ssn, email) VALUES (1, '', '') ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn, email = customers.email
