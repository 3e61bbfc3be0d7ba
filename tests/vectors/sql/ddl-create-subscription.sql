expect: sql.create admin

CREATE SUBSCRIPTION s CONNECTION 'host=evil' PUBLICATION p
