expect: sql.delete sql.merge write
where: no

MERGE INTO customers USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE
