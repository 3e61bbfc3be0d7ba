expect: sql.maintain write

CLUSTER customers USING customers_pkey
