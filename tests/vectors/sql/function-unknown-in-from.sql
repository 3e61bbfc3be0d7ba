expect: sql.select sql.unknown unknown

SELECT * FROM secrets() s
