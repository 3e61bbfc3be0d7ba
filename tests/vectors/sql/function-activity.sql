expect: sql.protected sql.select admin

SELECT query FROM pg_stat_get_activity(NULL)
