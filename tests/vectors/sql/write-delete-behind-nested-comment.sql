expect: sql.delete write
where: no

/* /* nested */ still a comment */ DELETE FROM customers
