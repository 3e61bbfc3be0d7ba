expect: sql.create sql.select admin
moves: ssn
outputs: none

CREATE TABLE copy AS SELECT upper(ssn) AS s FROM customers
