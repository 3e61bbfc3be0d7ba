expect: sql.alter admin

ALTER SEQUENCE s RESTART WITH 1
