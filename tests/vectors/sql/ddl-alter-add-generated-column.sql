expect: sql.alter admin
moves: ssn

ALTER TABLE customers ADD COLUMN x text GENERATED ALWAYS AS (ssn) STORED
