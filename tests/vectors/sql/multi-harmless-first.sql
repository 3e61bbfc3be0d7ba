expect: sql.delete sql.select write
where: no
statements: 2

SELECT 1; DELETE FROM customers
