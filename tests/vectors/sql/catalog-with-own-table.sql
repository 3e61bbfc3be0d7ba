expect: sql.select sql.session read

SELECT * FROM customers, pg_class
