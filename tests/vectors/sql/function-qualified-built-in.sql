expect: sql.select read

SELECT pg_catalog.upper(name) FROM customers
