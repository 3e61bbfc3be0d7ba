expect: sql.select sql.session read
moves: ssn

SELECT set_config('my.x', (SELECT 'yes' FROM customers WHERE ssn LIKE '1%'), false)
