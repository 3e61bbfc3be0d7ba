expect: sql.execute sql.explain unknown

EXPLAIN ANALYZE EXECUTE p
