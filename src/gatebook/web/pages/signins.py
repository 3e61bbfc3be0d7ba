"""Who is signed in: a cookie of 256 random bits, of which the database holds the SHA-256 alone.

A sign-in lasts no longer than the provider's token it stands on; only the provider can prolong it. It proves a person to the
pages and to nothing else: it is no bearer token, and no bearer token is a sign-in.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

from sqlalchemy import Engine

from gatebook.db import writing
from gatebook.errors import IdentityError
from gatebook.identity.store import record_seen, revoke_of_sign_in
from gatebook.model import Identity, Kind
from gatebook.web.pages import store

LIVE_SIGN_INS = 20  # of one person; the oldest give way
MICROSECONDS = 1_000_000


class SignIns:
    """Begins, finds and ends sign-ins. Calls block on the database; safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, identity: Identity, *, now: int, seconds: int) -> str:
        """The cookie of a new sign-in of a person who acts for themselves; raises IdentityError for everybody else."""
        if identity.kind is not Kind.PERSON or identity.on_behalf_of:
            raise IdentityError(
                "only people, acting for themselves, sign in here: agents and jobs use the API and their clients"
            )
        expires_at = min(identity.expires_at, now + seconds * MICROSECONDS)
        if expires_at <= now:
            raise IdentityError("the provider's token has expired already: check the clocks")
        cookie = secrets.token_urlsafe(32)
        with writing(self._engine) as connection:
            record_seen(connection, identity, now)
            store.delete_expired_sign_ins(connection, now)
            store.insert_sign_in(connection, digest_of(cookie), replace(identity, expires_at=expires_at))
            store.delete_oldest_sign_ins(connection, identity.issuer, identity.subject, LIVE_SIGN_INS)
        return cookie

    def find(self, cookie: str, now: int) -> Identity | None:
        """Whom a live sign-in stands for."""
        with self._engine.connect() as connection:
            return store.find_sign_in(connection, digest_of(cookie), now)

    def end(self, cookie: str, now: int) -> None:
        """End a sign-in, and those to targets that stand on it."""
        with writing(self._engine) as connection:
            store.delete_sign_in(connection, digest_of(cookie))
            revoke_of_sign_in(connection, digest_of(cookie), now)


def digest_of(cookie: str) -> bytes:
    """By what a sign-in is known."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).digest()
