expect: sql.session read

DEALLOCATE ALL
