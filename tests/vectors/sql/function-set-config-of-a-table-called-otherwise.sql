expect: sql.select sql.unknown unknown

SELECT set_config(name, 'postgres', false) FROM settings WHERE name = 'work_mem'
