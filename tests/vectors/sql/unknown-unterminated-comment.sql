expect: sql.unknown unknown

DELETE FROM customers /* where id = 1
