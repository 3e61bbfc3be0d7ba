expect: sql.setting admin
setting: role

SET ROLE postgres
