expect: sql.select sql.sequence write

SELECT nextval('public.orders_id_seq')
