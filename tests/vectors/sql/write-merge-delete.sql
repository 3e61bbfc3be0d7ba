expect: sql.delete sql.merge sql.select write
where: yes

MERGE INTO customers c USING gone g ON c.id = g.id WHEN MATCHED THEN DELETE
