expect: sql.drop sql.session admin
statements: 3

BEGIN; DROP TABLE customers; COMMIT
