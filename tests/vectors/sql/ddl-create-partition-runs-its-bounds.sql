expect: sql.create sql.unknown unknown

CREATE TABLE p PARTITION OF t FOR VALUES IN (evil())
