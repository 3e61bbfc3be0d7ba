expect: sql.select read
outputs: *

SELECT row_to_json(ROW(c.*)) FROM customers c
