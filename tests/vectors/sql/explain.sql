expect: sql.explain read
tables: customers
outputs: -

EXPLAIN DELETE FROM customers
