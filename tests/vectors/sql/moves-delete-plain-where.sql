expect: sql.delete write
moves: -

DELETE FROM customers WHERE ssn = '1' OR email IS NULL
