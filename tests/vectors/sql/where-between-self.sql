expect: sql.delete write
where: no

DELETE FROM customers WHERE id BETWEEN id AND id
