expect: sql.lock write
tables: a b

LOCK TABLE a, b IN ACCESS EXCLUSIVE MODE
