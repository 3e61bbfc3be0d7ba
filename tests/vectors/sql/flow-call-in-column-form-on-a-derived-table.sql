expect: sql.select read
outputs: city,row_to_json,ssn

SELECT t.row_to_json::text FROM (SELECT city, coalesce(city, 'a'), ssn FROM customers) AS t
