expect: sql.protected admin

SELECT passwd FROM pg_catalog.pg_shadow
