expect: sql.setting admin
setting: client_encoding

SET NAMES 'SJIS'
