expect: sql.create admin
tables: t

CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('s'), b text CHECK (my_check(b)))
