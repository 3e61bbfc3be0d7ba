expect: sql.server admin

PREPARE TRANSACTION 'x'
