expect: sql.explain read

EXPLAIN (ANALYZE off) DELETE FROM customers
