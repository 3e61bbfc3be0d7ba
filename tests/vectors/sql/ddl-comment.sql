expect: sql.alter admin
tables: customers

COMMENT ON TABLE customers IS 'x'
