expect: sql.select read
tables: Sales.Customers
columns: SSN

SELECT "SSN" FROM "Sales"."Customers"
