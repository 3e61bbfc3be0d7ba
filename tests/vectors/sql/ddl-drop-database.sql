expect: sql.drop admin

DROP DATABASE shop
