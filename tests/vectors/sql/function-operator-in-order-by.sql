expect: sql.select sql.unknown unknown

SELECT a FROM t ORDER BY a USING OPERATOR(public.<)
