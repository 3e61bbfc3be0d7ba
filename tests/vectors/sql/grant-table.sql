expect: sql.grant admin
tables: customers

GRANT ALL ON customers TO PUBLIC
