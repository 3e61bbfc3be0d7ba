expect: sql.delete write
where: no

PREPARE p AS DELETE FROM customers; EXECUTE p
