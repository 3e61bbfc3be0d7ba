expect: sql.do unknown

DO $$ BEGIN DELETE FROM customers; END $$
