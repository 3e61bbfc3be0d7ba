expect: sql.select sql.unknown unknown
unknown: samples by leak

SELECT count(*) FROM customers TABLESAMPLE leak (10)
