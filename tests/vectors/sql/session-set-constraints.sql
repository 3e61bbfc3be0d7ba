expect: sql.session read

SET CONSTRAINTS ALL DEFERRED
