expect: sql.protected admin

SELECT * FROM pg_something_new
