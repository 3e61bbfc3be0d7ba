expect: sql.setting admin

SET row_security = off
