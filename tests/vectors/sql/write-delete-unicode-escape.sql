expect: sql.delete write
where: no
tables: customers

DELETE FROM U&"!0063ustomers" UESCAPE '!'
