expect: sql.create admin
moves: *

CREATE RULE r AS ON INSERT TO notes DO ALSO DELETE FROM customers
