expect: sql.insert sql.update write
where: yes

INSERT INTO stock (sku, seen) VALUES (lower('A'), now()) ON CONFLICT (sku) DO UPDATE SET seen = excluded.seen
