expect: sql.copy_in sql.unknown unknown

COPY customers FROM STDIN WHERE evil(id)
