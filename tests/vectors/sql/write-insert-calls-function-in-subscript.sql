expect: sql.insert sql.sequence write

INSERT INTO t (a[nextval('s')]) VALUES (1)
