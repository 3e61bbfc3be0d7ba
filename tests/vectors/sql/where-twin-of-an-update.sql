where: no

UPDATE notes SET a = 1 FROM notes n WHERE n.id = notes.id
