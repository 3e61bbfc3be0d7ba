expect: sql.truncate write
tables: a s.b

TRUNCATE a, s.b CASCADE
