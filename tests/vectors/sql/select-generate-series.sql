expect: sql.select read
outputs: -

SELECT g FROM generate_series(1, 10) g
