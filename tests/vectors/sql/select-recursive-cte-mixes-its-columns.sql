expect: sql.select read
outputs: id,ssn

WITH RECURSIVE r(a, b) AS (SELECT id, ssn FROM customers UNION ALL SELECT b, a FROM r) SELECT a FROM r
