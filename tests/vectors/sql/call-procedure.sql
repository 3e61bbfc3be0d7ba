expect: sql.call unknown
functions: archive

CALL archive(1)
