"""SQL of the salts that commitments are keyed with."""

from __future__ import annotations

from sqlalchemy import Engine, text


def find_salt(engine: Engine, subject: str) -> bytes | None:
    """The subject's salt, None if it has none (yet, or any more)."""
    query = text("SELECT salt FROM salts WHERE subject = :subject")
    with engine.connect() as connection:
        salt = connection.execute(query, {"subject": subject}).scalar_one_or_none()
    return None if salt is None else bytes(salt)


def add_salt(engine: Engine, subject: str, salt: bytes, created_at: int) -> None:
    """Keep a salt, unless the subject has one."""
    query = text(
        "INSERT INTO salts (subject, salt, created_at) VALUES (:subject, :salt, :created_at) ON CONFLICT (subject) DO NOTHING"
    )
    with engine.begin() as connection:
        connection.execute(query, {"subject": subject, "salt": salt, "created_at": created_at})


def remove_salt(engine: Engine, subject: str) -> bool:
    """Erase a salt; whether there was one."""
    with engine.begin() as connection:
        return connection.execute(text("DELETE FROM salts WHERE subject = :subject"), {"subject": subject}).rowcount > 0
