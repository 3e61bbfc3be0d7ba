where: yes

DELETE FROM notes a USING notes b WHERE a.id < b.id AND a.email = b.email
