expect: sql.session read

SET application_name TO 'x'
