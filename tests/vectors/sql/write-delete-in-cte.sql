expect: sql.delete write
where: no
outputs: ssn

WITH gone AS (DELETE FROM customers RETURNING *) SELECT ssn FROM gone
