expect: sql.create sql.select admin
moves: d ssn

SELECT d INTO t FROM generate_series(0, 9) d, customers WHERE ssn LIKE d || '%'
