expect: sql.setting admin

SET standard_conforming_strings = off
