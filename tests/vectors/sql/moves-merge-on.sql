expect: sql.delete sql.merge sql.select write
moves: email ssn

MERGE INTO digits USING customers c ON c.ssn LIKE digits.email WHEN MATCHED THEN DELETE
