where: no

DELETE FROM notes USING (SELECT * FROM notes) n WHERE n.id = notes.id
