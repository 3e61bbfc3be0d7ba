expect: sql.copy_file sql.copy_in admin
copies_to: file

COPY customers FROM '/etc/passwd'
