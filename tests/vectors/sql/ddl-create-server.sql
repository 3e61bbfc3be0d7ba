expect: sql.create admin

CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'x')
