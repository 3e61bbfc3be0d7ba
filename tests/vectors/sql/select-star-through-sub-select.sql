expect: sql.select read
outputs: id | ssn

SELECT * FROM (SELECT id, upper(ssn) AS u FROM customers) t
