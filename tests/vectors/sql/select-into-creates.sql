expect: sql.create sql.select admin
moves: ssn
tables: copy customers
outputs: none

SELECT ssn INTO copy FROM customers
