expect: sql.insert sql.unknown unknown

INSERT INTO t VALUES (1) ON CONFLICT (evil(a)) DO NOTHING
