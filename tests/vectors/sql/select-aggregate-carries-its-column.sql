expect: sql.select read
outputs: ssn | -

SELECT string_agg(ssn, ','), count(*) FROM customers
