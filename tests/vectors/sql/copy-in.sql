expect: sql.copy_in write
tables: customers

COPY customers FROM STDIN
