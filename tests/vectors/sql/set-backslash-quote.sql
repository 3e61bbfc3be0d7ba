expect: sql.setting admin

SET backslash_quote = on
