expect: sql.grant admin

REVOKE SELECT ON customers FROM eve
