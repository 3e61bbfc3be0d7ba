expect: sql.create admin

CREATE LANGUAGE plpython3u
