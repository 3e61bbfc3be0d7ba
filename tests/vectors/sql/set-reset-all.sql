expect: sql.session read

RESET ALL
