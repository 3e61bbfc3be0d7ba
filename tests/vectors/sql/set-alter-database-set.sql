expect: sql.setting admin

ALTER DATABASE shop SET row_security = off
