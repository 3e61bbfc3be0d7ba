expect: sql.select sql.unknown unknown

SELECT sum(a) OVER (PARTITION BY evil(a)) FROM t
