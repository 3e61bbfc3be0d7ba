expect: sql.notify write

NOTIFY c, 'payload'
