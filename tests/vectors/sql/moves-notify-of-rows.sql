expect: sql.notify sql.select write
moves: d ssn

SELECT pg_notify('a', d::text) FROM generate_series(0, 9) d, customers WHERE ssn LIKE d || '%'
