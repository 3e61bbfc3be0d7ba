expect: sql.insert sql.merge sql.select write
moves: id ssn

MERGE INTO notes n USING customers c ON n.id = c.id WHEN NOT MATCHED THEN INSERT (body) VALUES (c.ssn)
