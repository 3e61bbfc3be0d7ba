expect: sql.create sql.select admin
moves: *

CREATE MATERIALIZED VIEW m AS SELECT * FROM customers
