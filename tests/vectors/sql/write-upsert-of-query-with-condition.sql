expect: sql.insert sql.select sql.update write
where: yes

INSERT INTO stock SELECT * FROM news ON CONFLICT (sku) DO UPDATE SET n = 0 WHERE stock.n < 5
