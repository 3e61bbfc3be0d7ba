expect: sql.session read

CLOSE c
