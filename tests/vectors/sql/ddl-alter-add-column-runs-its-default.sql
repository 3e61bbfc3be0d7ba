expect: sql.alter sql.unknown unknown

ALTER TABLE customers ADD COLUMN x text DEFAULT evil()
