expect: sql.session read

SET client_encoding = 'UTF8'
