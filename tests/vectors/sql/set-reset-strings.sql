expect: sql.setting admin

RESET standard_conforming_strings
