expect: sql.create sql.explain sql.select admin

EXPLAIN ANALYZE CREATE TABLE copy AS SELECT * FROM customers
