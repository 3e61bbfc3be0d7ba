expect: sql.copy_out sql.select read
outputs: id | ssn

COPY customers (id, ssn) TO STDOUT
