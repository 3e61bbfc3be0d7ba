expect: sql.create admin
moves: *

CREATE PUBLICATION p FOR TABLE customers
