expect: sql.copy_in sql.copy_program admin
copies_to: program

COPY customers FROM PROGRAM 'curl example.org'
