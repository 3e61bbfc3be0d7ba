expect: sql.session read
outputs: -

SHOW search_path
