expect: sql.create admin

CREATE ROLE eve SUPERUSER LOGIN PASSWORD 'x'
