expect: sql.insert sql.unknown unknown

INSERT INTO t VALUES (1) RETURNING evil(id)
