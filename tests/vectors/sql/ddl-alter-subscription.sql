expect: sql.alter admin

ALTER SUBSCRIPTION s CONNECTION 'host=evil'
