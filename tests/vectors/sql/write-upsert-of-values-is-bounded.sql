expect: sql.insert sql.update write
where: yes

INSERT INTO stock (sku, n) VALUES ('a', 1) ON CONFLICT (sku) DO UPDATE SET n = excluded.n
