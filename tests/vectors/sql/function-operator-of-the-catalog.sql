expect: sql.session read

SELECT relname OPERATOR(pg_catalog.~) '^a' FROM pg_catalog.pg_class
