expect: sql.select read
outputs: id,ssn

WITH RECURSIVE r(a, b) AS (SELECT id, ssn FROM customers UNION ALL SELECT a, b FROM r) SEARCH DEPTH FIRST BY b SET o SELECT o FROM r
