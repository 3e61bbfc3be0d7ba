expect: sql.merge sql.select sql.update write
where: no

MERGE INTO customers c USING s ON c.id = c.id WHEN MATCHED THEN UPDATE SET name = ''
