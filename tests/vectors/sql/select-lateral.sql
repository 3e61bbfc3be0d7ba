expect: sql.select read
outputs: ssn

SELECT x.s FROM customers c CROSS JOIN LATERAL (SELECT c.ssn AS s) x
