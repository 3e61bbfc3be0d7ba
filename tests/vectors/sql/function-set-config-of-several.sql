expect: sql.select sql.session sql.setting admin
setting: search_path jit role

SELECT set_config('search_path', 'public', false), set_config('role', 'postgres', false), set_config('jit', 'off', false)
