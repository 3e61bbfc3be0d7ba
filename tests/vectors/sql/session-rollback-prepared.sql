expect: sql.server admin

ROLLBACK PREPARED 'x'
