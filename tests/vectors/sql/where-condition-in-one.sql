where: yes

DELETE FROM notes WHERE (id = 1) IN (true)
