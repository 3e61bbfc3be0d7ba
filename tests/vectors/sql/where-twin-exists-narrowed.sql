where: yes

DELETE FROM notes t WHERE EXISTS (SELECT 1 FROM notes x WHERE x.email = t.email AND x.id < t.id)
