expect: sql.create admin

CREATE DOMAIN d AS text CHECK (VALUE ~ 'a')
