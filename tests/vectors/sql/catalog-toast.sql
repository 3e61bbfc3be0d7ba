expect: sql.protected admin

SELECT chunk_data FROM pg_toast.pg_toast_16384
