expect: sql.setting admin
setting: shared_preload_libraries

ALTER SYSTEM SET shared_preload_libraries = 'evil'
