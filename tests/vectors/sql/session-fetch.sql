expect: sql.session read
outputs: unknown

FETCH ALL FROM c
