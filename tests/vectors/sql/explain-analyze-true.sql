expect: sql.delete sql.explain write

EXPLAIN (ANALYZE true) DELETE FROM customers
