expect: sql.select sql.setting admin

SELECT pg_catalog.set_config('ROLE'::text, 'postgres', true)
