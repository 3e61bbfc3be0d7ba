expect: sql.create admin

CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'delete from customers'
