expect: sql.session read

RESET ROLE
