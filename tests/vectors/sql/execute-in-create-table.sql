expect: sql.create sql.execute unknown
moves: *

CREATE TABLE t AS EXECUTE p
