expect: sql.session read

LISTEN c
