expect: sql.delete sql.execute sql.session unknown

PREPARE p AS DELETE FROM customers; DEALLOCATE p; EXECUTE p
