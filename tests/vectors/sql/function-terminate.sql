expect: sql.select sql.server admin

SELECT pg_terminate_backend(1)
