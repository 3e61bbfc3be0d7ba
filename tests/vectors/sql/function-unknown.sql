expect: sql.select sql.unknown unknown
functions: secrets
unknown: calls secrets, which is not known
outputs: -?

SELECT secrets()
