expect: sql.delete sql.explain write

EXPLAIN (COSTS off, ANALYZE) DELETE FROM customers
