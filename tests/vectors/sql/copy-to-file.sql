expect: sql.copy_file sql.select admin
moves: *

COPY customers TO '/tmp/x'
