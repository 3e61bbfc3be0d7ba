where: no

DELETE FROM notes WHERE id - id = 0
