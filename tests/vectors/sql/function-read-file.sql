expect: sql.copy_file sql.select admin

SELECT pg_read_file('/etc/passwd')
