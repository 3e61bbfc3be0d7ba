expect: sql.select read
outputs: card

SELECT t.n FROM customers c, JSON_TABLE(c.card, '$' COLUMNS (n text PATH '$.n')) t
