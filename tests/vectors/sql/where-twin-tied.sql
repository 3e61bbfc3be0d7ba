where: no

DELETE FROM notes USING notes n WHERE n.id = notes.id
