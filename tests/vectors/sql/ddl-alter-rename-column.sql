expect: sql.alter admin
moves: ssn

ALTER TABLE customers RENAME COLUMN ssn TO harmless
