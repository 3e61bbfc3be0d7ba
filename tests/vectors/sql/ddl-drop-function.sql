expect: sql.drop admin

DROP FUNCTION f(int)
