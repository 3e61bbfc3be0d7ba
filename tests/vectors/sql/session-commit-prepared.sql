expect: sql.lock write

COMMIT PREPARED 'x'
