expect: sql.select sql.server admin
moves: ssn

SELECT lo_from_bytea(0, convert_to(ssn, 'UTF8')) FROM customers
