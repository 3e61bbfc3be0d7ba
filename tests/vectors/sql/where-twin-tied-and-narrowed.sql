where: yes

DELETE FROM notes USING notes n WHERE n.id = notes.id AND n.seen < now()
