expect: sql.alter admin
moves: *

ALTER TABLE customers RENAME TO harmless
