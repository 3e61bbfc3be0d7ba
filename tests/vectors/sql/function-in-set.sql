expect: sql.unknown sql.update unknown

UPDATE t SET a = evil() WHERE id = 1
