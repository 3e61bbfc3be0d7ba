expect: sql.unknown unknown

\! rm -rf /
