expect: sql.delete sql.explain write

EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM customers
