where: no

DELETE FROM notes WHERE (id = 1)::int BETWEEN 0 AND 1
