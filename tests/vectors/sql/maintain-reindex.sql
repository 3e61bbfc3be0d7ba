expect: sql.maintain write

REINDEX TABLE customers
