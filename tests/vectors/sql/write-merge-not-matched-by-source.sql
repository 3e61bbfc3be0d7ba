expect: sql.delete sql.merge sql.select write
where: no

MERGE INTO customers c USING s ON c.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE
