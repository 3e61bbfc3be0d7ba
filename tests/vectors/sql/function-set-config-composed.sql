expect: sql.select sql.unknown unknown

SELECT set_config('ro' || 'le', 'x', false)
