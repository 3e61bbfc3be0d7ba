expect: sql.setting admin

SET log_statement = 'none'
