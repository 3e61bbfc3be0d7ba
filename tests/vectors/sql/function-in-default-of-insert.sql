expect: sql.insert sql.unknown unknown

INSERT INTO t VALUES (evil())
