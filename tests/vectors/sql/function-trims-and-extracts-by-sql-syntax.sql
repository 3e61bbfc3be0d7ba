expect: sql.select read
outputs: name | created

SELECT trim(both ' ' FROM name), extract(year FROM created) FROM customers
