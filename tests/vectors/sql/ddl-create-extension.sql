expect: sql.create admin

CREATE EXTENSION dblink
