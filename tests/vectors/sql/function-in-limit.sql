expect: sql.select sql.server admin

SELECT 1 FROM customers LIMIT (SELECT pg_backend_pid() FROM pg_terminate_backend(1))
