expect: sql.copy_out sql.protected admin

COPY pg_authid TO STDOUT
