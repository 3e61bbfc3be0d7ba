expect: sql.create admin
functions: my_func

CREATE OR REPLACE VIEW v AS SELECT my_func(1) AS x
