expect: sql.insert sql.select sql.update write
where: no
moves: *

INSERT INTO stock SELECT * FROM stock ON CONFLICT (sku) DO UPDATE SET n = 0
