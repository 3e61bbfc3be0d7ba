expect: sql.delete write
where: no

DELETE FROM customers WHERE id < 5 OR 5 <= id
