expect: sql.select sql.session read
moves: ssn

SELECT set_config('app.x', ssn, false) FROM customers
