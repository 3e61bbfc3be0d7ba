expect: sql.select read

SELECT $a$ '; DELETE FROM customers; -- $$ $a$
