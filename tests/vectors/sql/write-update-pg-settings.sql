expect: sql.setting sql.update admin

UPDATE pg_settings SET setting = 'x' WHERE name = 'role'
