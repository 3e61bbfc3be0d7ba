expect: sql.select sql.unknown unknown

SELECT * FROM dblink('host=x', 'select 1') AS t(a int)
