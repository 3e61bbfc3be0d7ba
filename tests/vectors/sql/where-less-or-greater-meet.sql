expect: sql.delete write
where: no

DELETE FROM customers WHERE id < 10 OR id > 5
