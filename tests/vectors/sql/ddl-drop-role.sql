expect: sql.drop admin

DROP ROLE eve
