expect: sql.select sql.session read
outputs: none

DECLARE c CURSOR FOR SELECT ssn FROM customers
