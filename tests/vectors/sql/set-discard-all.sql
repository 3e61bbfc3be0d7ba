expect: sql.session read

DISCARD ALL
