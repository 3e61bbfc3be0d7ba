expect: sql.unknown unknown

SELECT 1; DELET FROM customers
