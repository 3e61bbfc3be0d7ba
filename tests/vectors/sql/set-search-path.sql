expect: sql.session read
setting: search_path

SET search_path = app, public
