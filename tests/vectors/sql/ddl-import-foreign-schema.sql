expect: sql.create admin

IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b
