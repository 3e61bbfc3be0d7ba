expect: sql.select sql.unknown unknown

SELECT 1 FROM customers ORDER BY evil(id)
