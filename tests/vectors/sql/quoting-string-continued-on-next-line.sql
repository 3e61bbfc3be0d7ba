expect: sql.select read

SELECT 'a'
'; DROP TABLE customers; --'
