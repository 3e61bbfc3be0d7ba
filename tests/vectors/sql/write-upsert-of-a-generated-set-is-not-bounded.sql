expect: sql.insert sql.update write
where: no

INSERT INTO stock (sku, n) VALUES (generate_series(1, 1000000), 0) ON CONFLICT (sku) DO UPDATE SET n = 0
