expect: sql.server admin

COMMIT PREPARED 'x'
