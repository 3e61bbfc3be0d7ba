expect: sql.lock sql.select write

SELECT pg_advisory_lock(1)
