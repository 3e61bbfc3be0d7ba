expect: sql.select sql.update write
moves: id email

UPDATE notes SET email = customers.email FROM customers WHERE notes.id = customers.id
