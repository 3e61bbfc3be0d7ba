expect: sql.alter admin

ALTER TABLE customers DISABLE ROW LEVEL SECURITY
