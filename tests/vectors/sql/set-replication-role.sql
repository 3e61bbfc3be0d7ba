expect: sql.setting admin

SET session_replication_role = replica
