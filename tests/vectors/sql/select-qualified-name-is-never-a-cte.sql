expect: sql.select read
tables: public.customers

WITH customers AS (SELECT 1 AS id) SELECT id FROM public.customers
