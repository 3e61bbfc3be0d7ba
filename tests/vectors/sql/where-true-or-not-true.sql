where: no

DELETE FROM notes WHERE (b) IS TRUE OR (b) IS NOT TRUE
