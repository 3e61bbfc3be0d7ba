expect: sql.copy_file sql.select admin

SELECT lo_import('/etc/passwd')
