"""PostgreSQL: wire format, what a statement can do, and the relay."""
