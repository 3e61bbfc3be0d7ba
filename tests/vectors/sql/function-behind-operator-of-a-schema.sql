expect: sql.select sql.unknown unknown

SELECT 1 OPERATOR(public.+) 2
