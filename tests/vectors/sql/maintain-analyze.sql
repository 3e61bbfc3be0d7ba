expect: sql.maintain write

ANALYZE
