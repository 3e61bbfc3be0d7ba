expect: sql.unknown unknown

START_REPLICATION SLOT s LOGICAL 0/0
