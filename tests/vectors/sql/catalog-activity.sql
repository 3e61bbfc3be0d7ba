expect: sql.protected admin

SELECT query FROM pg_stat_activity
