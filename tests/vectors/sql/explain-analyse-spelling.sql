expect: sql.delete sql.explain write

EXPLAIN ANALYSE DELETE FROM customers
