expect: sql.setting admin

SET LOCAL ROLE postgres
