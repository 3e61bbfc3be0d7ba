expect: sql.execute unknown
unknown: prepared statement p
outputs: unknown

EXECUTE p(1)
