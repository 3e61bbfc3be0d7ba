expect: sql.session sql.unknown unknown

SELECT 1 FROM pg_settings WHERE name = 'work_mem' AND set_config(name, 'postgres', false) = 'x'
