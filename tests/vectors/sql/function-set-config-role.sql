expect: sql.select sql.setting admin
setting: role

SELECT set_config('role', 'postgres', false)
