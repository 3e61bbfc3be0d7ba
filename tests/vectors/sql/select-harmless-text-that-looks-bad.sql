expect: sql.select read
outputs: - | -

SELECT 'drop table customers; delete from orders', $$truncate x$$
