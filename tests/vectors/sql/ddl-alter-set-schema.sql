expect: sql.alter admin
moves: *

ALTER TABLE customers SET SCHEMA other
