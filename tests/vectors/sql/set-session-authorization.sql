expect: sql.setting admin

SET SESSION AUTHORIZATION postgres
