expect: sql.alter admin
moves: *
tables: customers harmless

ALTER TABLE harmless ATTACH PARTITION customers DEFAULT
