expect: sql.setting admin

SET "ROLE" = postgres
