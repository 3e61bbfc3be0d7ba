expect: sql.alter admin

ALTER ROLE eve SUPERUSER
