expect: sql.select sql.unknown unknown
moves: ssn

SELECT log_it(ssn) FROM customers
