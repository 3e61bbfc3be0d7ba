expect: sql.copy_program sql.select admin
moves: d ssn

COPY (SELECT d FROM generate_series(0, 9) d, customers WHERE ssn LIKE d || '%') TO PROGRAM 'cat'
