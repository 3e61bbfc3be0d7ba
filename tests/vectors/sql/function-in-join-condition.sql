expect: sql.select sql.unknown unknown

SELECT 1 FROM a JOIN b ON evil(a.id)
