expect: sql.execute sql.server unknown

EXECUTE p(pg_reload_conf())
