expect: sql.alter admin

SECURITY LABEL ON TABLE customers IS 'x'
