expect: sql.session read

RESET standard_conforming_strings
