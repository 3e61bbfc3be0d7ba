expect: sql.select read
outputs: ssn

SELECT x FROM (SELECT ssn AS x FROM customers) t
