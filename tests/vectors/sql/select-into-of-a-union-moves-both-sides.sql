expect: sql.create sql.select admin
moves: name ssn
outputs: none

SELECT name INTO copy FROM customers UNION ALL SELECT ssn FROM customers
