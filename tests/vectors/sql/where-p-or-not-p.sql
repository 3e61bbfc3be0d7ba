expect: sql.delete write
where: no

DELETE FROM customers WHERE active OR NOT active
