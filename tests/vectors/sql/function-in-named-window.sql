expect: sql.select sql.unknown unknown

SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY evil(a))
