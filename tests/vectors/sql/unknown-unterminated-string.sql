expect: sql.unknown unknown

SELECT 'abc
