expect: sql.copy_file sql.select admin

SELECT * FROM pg_ls_dir('.')
