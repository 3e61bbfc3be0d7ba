expect: sql.select read
outputs: full_info

SELECT c.full_info FROM customers c
