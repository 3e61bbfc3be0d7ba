expect: sql.delete sql.explain write
where: no

EXPLAIN ANALYZE DELETE FROM customers
