expect: sql.create admin

CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
