expect: sql.select read
outputs: *,c

SELECT e.value FROM customers c, json_each_text(row_to_json(c)) e
