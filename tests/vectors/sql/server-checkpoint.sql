expect: sql.server admin

CHECKPOINT
