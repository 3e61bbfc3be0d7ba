expect: sql.select sql.server admin

SELECT U&"pg\005freload_conf"()
