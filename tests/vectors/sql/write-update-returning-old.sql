expect: sql.update write
outputs: ssn | ssn

UPDATE customers SET ssn = '' WHERE id = 1 RETURNING old.ssn, new.ssn
