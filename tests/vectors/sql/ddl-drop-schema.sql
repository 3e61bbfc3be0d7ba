expect: sql.drop admin

DROP SCHEMA s CASCADE
