expect: sql.protected admin

SELECT query FROM extensions.pg_stat_statements
