expect: sql.session read

SET TIME ZONE 'UTC'
