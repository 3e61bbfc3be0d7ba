expect: sql.maintain write

REFRESH MATERIALIZED VIEW report
