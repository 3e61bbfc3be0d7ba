expect: sql.session read

SELECT name, setting FROM pg_settings
