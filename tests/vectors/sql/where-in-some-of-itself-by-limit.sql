where: no

DELETE FROM notes WHERE id IN (SELECT id FROM notes LIMIT 1000000)
