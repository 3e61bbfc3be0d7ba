expect: sql.create admin
tables: t

CREATE SCHEMA s CREATE TABLE t (a int)
