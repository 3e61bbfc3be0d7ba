expect: sql.select read

SELECT current_user, session_user, version(), current_setting('search_path'), now()
