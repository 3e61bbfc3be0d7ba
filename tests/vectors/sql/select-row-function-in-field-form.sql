expect: sql.select read
outputs: *,c

SELECT (c).to_jsonb FROM customers c
