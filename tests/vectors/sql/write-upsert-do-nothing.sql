expect: sql.insert write

INSERT INTO stock (sku) VALUES ('a') ON CONFLICT DO NOTHING
