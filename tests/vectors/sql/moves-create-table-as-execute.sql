expect: sql.create sql.select admin
moves: ssn

PREPARE p AS SELECT 1 FROM customers WHERE ssn LIKE '1%'; CREATE TABLE t AS EXECUTE p
