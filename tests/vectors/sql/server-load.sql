expect: sql.unknown unknown

LOAD 'evil'
