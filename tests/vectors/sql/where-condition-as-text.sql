where: no

DELETE FROM notes WHERE (id = 1)::text <> ''
