expect: sql.select sql.unknown unknown
functions: public.upper

SELECT public.upper(name) FROM customers
