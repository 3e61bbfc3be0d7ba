expect: sql.session read

SET LOCAL statement_timeout = '5s'
