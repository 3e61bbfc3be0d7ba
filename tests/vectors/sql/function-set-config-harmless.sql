expect: sql.select sql.session read
setting: search_path

SELECT set_config('search_path', 'public', false)
