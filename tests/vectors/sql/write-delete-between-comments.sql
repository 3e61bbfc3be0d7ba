expect: sql.delete write
where: no

/* harmless */ DELETE /* select */ FROM customers -- where id = 1
