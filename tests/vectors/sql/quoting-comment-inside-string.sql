expect: sql.drop sql.select admin

SELECT '/*'; DROP TABLE customers; SELECT '*/'
