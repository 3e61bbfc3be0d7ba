expect: sql.alter admin

ALTER TABLE customers OWNER TO eve
