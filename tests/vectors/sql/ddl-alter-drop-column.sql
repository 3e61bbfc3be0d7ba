expect: sql.alter admin
tables: customers

ALTER TABLE customers DROP COLUMN ssn
