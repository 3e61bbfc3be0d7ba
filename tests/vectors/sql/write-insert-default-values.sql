expect: sql.insert write

INSERT INTO orders DEFAULT VALUES
