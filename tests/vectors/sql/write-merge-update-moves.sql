expect: sql.merge sql.select sql.update write
where: yes
moves: id ssn

MERGE INTO notes n USING customers c ON n.id = c.id WHEN MATCHED THEN UPDATE SET body = c.ssn
