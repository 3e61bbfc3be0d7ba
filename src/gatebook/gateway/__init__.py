"""Listeners and the session driver: the only place where all of it meets."""
