expect: sql.select read
columns: * row_to_json
outputs: *,row_to_json

SELECT c.row_to_json FROM customers c
