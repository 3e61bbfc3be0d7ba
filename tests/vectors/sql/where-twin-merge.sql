where: no

MERGE INTO notes USING (SELECT * FROM notes) n ON n.id = notes.id WHEN MATCHED THEN DELETE
