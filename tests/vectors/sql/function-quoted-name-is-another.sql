expect: sql.select sql.unknown unknown

SELECT "Upper"(name) FROM customers
