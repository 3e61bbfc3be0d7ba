"""Keeps what passed through a session, encrypted to those who may read it, so that it can be replayed."""
