expect: sql.delete write
where: no

DELETE FROM customers WHERE $1::int IS NULL OR id = $1
