expect: sql.session read

BEGIN; SAVEPOINT a; ROLLBACK TO a; RELEASE a; COMMIT
