expect: sql.session read

SET row_security = on
