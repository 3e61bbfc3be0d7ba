expect: sql.select sql.unknown unknown

SELECT count(*) FILTER (WHERE evil(id)) FROM a
