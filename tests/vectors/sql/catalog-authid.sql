expect: sql.protected admin

SELECT rolpassword FROM pg_authid
