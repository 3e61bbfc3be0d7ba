expect: sql.select sql.unknown unknown

SELECT * FROM ts_stat('select ssn from customers')
