expect: sql.setting admin

SET something_new = 1
