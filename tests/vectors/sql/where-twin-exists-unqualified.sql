where: no

DELETE FROM notes t WHERE EXISTS (SELECT 1 FROM notes x WHERE id = t.id)
