expect: sql.select read
outputs: *,c

SELECT (c).ssn FROM customers c
