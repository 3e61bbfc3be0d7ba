expect: sql.unknown unknown

SELECT * FROM `customers` LIMIT 1, 2
