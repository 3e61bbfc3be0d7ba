expect: sql.unknown unknown
unknown: does not parse

SELEC 1
