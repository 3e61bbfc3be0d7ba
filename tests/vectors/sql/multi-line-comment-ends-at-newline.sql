expect: sql.drop sql.select admin

SELECT 1; --
DROP TABLE customers
