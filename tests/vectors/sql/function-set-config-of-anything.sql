expect: sql.select sql.unknown unknown

SELECT set_config($1, 'x', false)
