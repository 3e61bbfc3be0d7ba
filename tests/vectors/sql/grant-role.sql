expect: sql.grant admin

GRANT postgres TO eve
