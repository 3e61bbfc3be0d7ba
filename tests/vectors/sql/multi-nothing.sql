expect: sql.session read
statements: 0

-- nothing at all
