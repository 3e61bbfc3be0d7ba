expect: sql.create sql.unknown unknown

CREATE INDEX ON customers (evil(name))
