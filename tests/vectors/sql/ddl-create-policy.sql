expect: sql.create admin

CREATE POLICY p ON customers USING (true)
