expect: sql.delete write
where: no

DELETE FROM customers WHERE tableoid = 'customers'::regclass
