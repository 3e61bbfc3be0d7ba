expect: sql.select read
outputs: ssn

SELECT j.ssn FROM (customers a JOIN orders b USING (id)) AS j
