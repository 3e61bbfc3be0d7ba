expect: sql.session sql.unknown unknown

SELECT set_config(name, 'postgres', false) FROM pg_settings WHERE name <> 'work_mem'
