expect: sql.select read
outputs: email,ssn | -

SELECT coalesce(ssn, email), now() FROM customers
