expect: sql.explain read

EXPLAIN (ANALYZE 0) DELETE FROM customers
