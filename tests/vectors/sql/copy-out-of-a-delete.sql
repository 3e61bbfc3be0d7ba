expect: sql.copy_out sql.delete write
where: no

COPY (DELETE FROM customers RETURNING *) TO STDOUT
