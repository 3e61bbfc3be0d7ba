expect: sql.drop sql.select admin

SELECT 'a\'; DROP TABLE customers; --'
