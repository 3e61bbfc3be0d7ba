expect: sql.select read
outputs: -

SELECT 1 + 1
