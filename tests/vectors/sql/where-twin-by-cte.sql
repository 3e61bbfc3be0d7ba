where: no

WITH n AS (SELECT * FROM notes) DELETE FROM notes USING n WHERE n.id = notes.id
