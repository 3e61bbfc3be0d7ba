where: no

DELETE FROM notes WHERE 0 = id * 0
