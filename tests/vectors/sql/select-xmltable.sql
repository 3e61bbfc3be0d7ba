expect: sql.select read
outputs: doc

SELECT x.a FROM docs d, XMLTABLE('/r' PASSING d.doc COLUMNS a text PATH 'a') x
