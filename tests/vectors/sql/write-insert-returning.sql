expect: sql.insert write
outputs: id | star *

INSERT INTO orders (total) VALUES (1) RETURNING id, *
