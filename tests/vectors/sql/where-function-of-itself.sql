where: no

DELETE FROM notes WHERE concat(x) = x
