expect: sql.session sql.setting admin

SELECT set_config(name, 'postgres', false) FROM pg_settings WHERE name = 'role'
