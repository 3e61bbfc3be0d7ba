expect: sql.select read
statements: 1

;;SELECT 1;;
