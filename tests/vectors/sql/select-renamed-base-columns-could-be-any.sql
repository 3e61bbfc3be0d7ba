expect: sql.select read
outputs: *,b?

SELECT upper(b) FROM customers t(a, b)
