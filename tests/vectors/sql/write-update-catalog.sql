expect: sql.alter sql.update admin

UPDATE pg_class SET relowner = 10 WHERE relname = 'x'
