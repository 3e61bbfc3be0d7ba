expect: sql.notify sql.select write
moves: ssn

SELECT pg_notify('c', ssn) FROM customers
