expect: sql.select read
tables: customers
outputs: ssn

WITH t AS (SELECT ssn AS harmless FROM customers) SELECT harmless FROM t
