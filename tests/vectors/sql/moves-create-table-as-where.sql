expect: sql.create sql.select admin
moves: d ssn

CREATE TABLE t AS SELECT d FROM generate_series(0, 9) d, customers WHERE ssn LIKE d || '%'
