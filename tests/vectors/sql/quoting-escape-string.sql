expect: sql.select read

SELECT E'a\'; DROP TABLE customers; --'
