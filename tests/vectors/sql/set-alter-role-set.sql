expect: sql.setting admin

ALTER ROLE app SET search_path = evil
