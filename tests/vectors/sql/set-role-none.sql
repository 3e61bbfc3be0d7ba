expect: sql.setting admin

SET ROLE NONE
