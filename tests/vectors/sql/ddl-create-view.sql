expect: sql.create admin
moves: ssn

CREATE VIEW v AS SELECT ssn AS s FROM customers
