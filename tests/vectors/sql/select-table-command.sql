expect: sql.select read
outputs: star *

TABLE customers
