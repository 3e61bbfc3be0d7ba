expect: sql.select read
tables: customers

SELECT count(*) FROM customers TABLESAMPLE bernoulli (10)
