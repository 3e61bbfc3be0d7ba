expect: sql.grant admin

REASSIGN OWNED BY a TO b
