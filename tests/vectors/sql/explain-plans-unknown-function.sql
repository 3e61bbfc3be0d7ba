expect: sql.explain sql.unknown unknown

EXPLAIN SELECT secrets() FROM customers
