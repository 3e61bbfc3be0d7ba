expect: sql.lock write

PREPARE TRANSACTION 'x'
