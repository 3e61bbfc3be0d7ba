expect: sql.select sql.unknown unknown

SELECT query_to_xml('delete from customers', true, true, '')
