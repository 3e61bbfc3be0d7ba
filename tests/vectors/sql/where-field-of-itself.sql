where: no

DELETE FROM notes o WHERE (o).id = o.id
