expect: sql.select read
outputs: ssn

WITH t(a, b) AS (SELECT id, ssn FROM customers) SELECT b FROM t
