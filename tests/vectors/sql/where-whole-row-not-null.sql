expect: sql.delete write
where: no

DELETE FROM customers WHERE customers IS NOT NULL
