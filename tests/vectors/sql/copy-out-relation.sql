expect: sql.copy_out sql.select read
outputs: star *
copies_to: client

COPY customers TO STDOUT
