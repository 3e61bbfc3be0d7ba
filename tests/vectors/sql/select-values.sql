expect: sql.select read
outputs: - | -

VALUES (1, 'a'), (2, 'b')
