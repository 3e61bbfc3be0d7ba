expect: sql.select sql.unknown unknown

SELECT table_to_xml('customers', true, true, '')
