expect: sql.select read
columns: * c
outputs: *,c

SELECT row_to_json(c) FROM customers c
