expect: sql.insert sql.select sql.update write
where: no

INSERT INTO stock (sku) VALUES (unnest(ARRAY(SELECT sku FROM stock))) ON CONFLICT (sku) DO UPDATE SET n = 0
