expect: sql.drop admin

DROP OWNED BY eve
