expect: sql.protected sql.select admin

SELECT id FROM customers WHERE name IN (SELECT rolname FROM pg_authid)
