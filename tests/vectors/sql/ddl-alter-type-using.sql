expect: sql.alter admin
moves: ssn

ALTER TABLE customers ALTER COLUMN name TYPE text USING ssn
