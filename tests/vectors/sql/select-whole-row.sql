expect: sql.select read
columns: * customers
outputs: *,customers

SELECT customers FROM customers
