where: no

DELETE FROM notes WHERE x LIKE '%' || ''
