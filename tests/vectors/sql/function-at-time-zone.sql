expect: sql.select read
outputs: created

SELECT created AT TIME ZONE 'UTC' FROM orders
