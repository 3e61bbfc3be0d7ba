expect: sql.copy_out sql.select read
outputs: ssn

COPY (SELECT upper(ssn) FROM customers) TO STDOUT
