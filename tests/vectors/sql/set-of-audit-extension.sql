expect: sql.setting admin

SET pgaudit.log = 'none'
