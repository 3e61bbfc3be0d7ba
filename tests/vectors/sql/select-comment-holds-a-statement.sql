expect: sql.select read

SELECT 1 /* ; DROP TABLE customers; */
