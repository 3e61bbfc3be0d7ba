where: yes

DELETE FROM notes WHERE trim(x) <> x
