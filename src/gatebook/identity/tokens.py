"""Gateway tokens: short, opaque stand-ins for a provider's token, for password prompts that cut long ones.

256 random bits behind a prefix that secret scanners can look for. The database holds their SHA-256 only, which cannot be
turned back or sent in. A gateway token never outlives the provider's token it was given for, and is never exchanged for
another: only a provider can prolong anything.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Engine

from gatebook.db import writing
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.store import ID_CHARACTERS, Issued
from gatebook.model import Identity

PREFIX = "gbt_"
BROWSER_PREFIX = "gbt_browser_"  # of one target, in a browser's cookie (browsers.py); longer than any other
CHARACTERS = 47  # prefix and 32 bytes in base64url; every client's password prompt takes 72
LIVE_TOKENS = 1_000  # per identity: a loop that asks for tokens must not fill the disk
KEPT_SECONDS = 86_400  # an expired token is remembered this long, to say that it expired
MICROSECONDS = 1_000_000
_ID = re.compile(f"[0-9a-f]{{1,{ID_CHARACTERS}}}")

__all__ = ["GatewayTokens", "Issued", "digest_of", "is_gateway_token"]


def is_gateway_token(token: str) -> bool:
    """Whether ``token`` looks like one of ours; says nothing of its worth."""
    return token.startswith(PREFIX)


def digest_of(token: str) -> bytes | None:
    """By what a gateway token is known, a browser's among them; None of any other token."""
    return _digest(token) if is_gateway_token(token) else None


class GatewayTokens:
    """Gives, finds and ends gateway tokens. Calls block on the database; safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(self, identity: Identity, *, now: int, seconds: int) -> str:
        """A new token for ``identity``, for ``seconds`` or as long as its proof holds; raises IdentityError past the limit."""
        expires_at = min(identity.expires_at, now + seconds * MICROSECONDS)
        if expires_at <= now:
            raise IdentityError("the proof of identity has expired: get a new token from the provider")
        token = PREFIX + secrets.token_urlsafe(32)
        with writing(self._engine) as connection:
            store.delete_expired_tokens(connection, now - KEPT_SECONDS * MICROSECONDS)
            if store.count_live_tokens(connection, identity.issuer, identity.subject, now) >= LIVE_TOKENS:
                raise IdentityError(
                    f"this identity holds {LIVE_TOKENS} gateway tokens: use one of them, or wait until they expire"
                )
            store.insert_token(connection, _digest(token), replace(identity, expires_at=expires_at), now)
        return token

    def find(self, token: str, now: int) -> Identity | None:
        """Whom a live ``token`` stands for; its ``expires_at`` is the token's own."""
        return _lives(self.look_up(token), now)

    def find_browser(self, token: str, target: str, now: int) -> Identity | None:
        """The same for the token of a cookie that came to this target's own host."""
        return _lives(self.look_up(token, target), now)

    def look_up(self, token: str, target: str = "") -> store.Held | None:
        """What is known of ``token``, dead or alive. For messages; ``find`` is what lets somebody in.

        ``target`` is that of a browser's token: it is no token anywhere else.
        """
        prefix = BROWSER_PREFIX if target else PREFIX
        if not token.startswith(prefix) or len(token) != CHARACTERS - len(PREFIX) + len(prefix):
            return None
        with self._engine.connect() as connection:
            held = store.token_held(connection, _digest(token))
        return held if held is not None and held.target == target else None

    def taken_back(self, digests: Collection[bytes]) -> set[bytes]:
        """Which of these tokens were revoked, or are not known any more; whether they expired is their bearer's business."""
        with self._engine.connect() as connection:
            return set(digests) - store.tokens_in_force(connection, digests)

    def issued(self, limit: int, *, owner: tuple[str, str] | None = None) -> list[Issued]:
        """The newest tokens; with an ``owner`` (issuer, subject) only theirs, and of those who act for them."""
        with self._engine.connect() as connection:
            return store.list_tokens(connection, owner=owner, limit=limit)

    def by_id(self, beginning: str) -> list[Issued]:
        """The tokens whose id begins so: none, the one, or two of several."""
        if not _ID.fullmatch(beginning):
            return []
        low, high = (bytes.fromhex(beginning.ljust(ID_CHARACTERS, filled)) for filled in "0f")
        with self._engine.connect() as connection:
            return store.tokens_between(connection, low, high + b"\xff" * (32 - len(high)))

    def revoke_issued(self, token: Issued, now: int) -> bool:
        """End a token that was listed; whether it was not revoked yet.

        With that of a browser ends the sign-in it stands on, which would give another without asking anybody.
        """
        with writing(self._engine) as connection:
            ended = store.revoke_token(connection, token.digest, now) > 0
            store.end_sign_in_of(connection, token.digest, now)
            return ended

    def revoke(self, token: str, now: int) -> bool:
        """End ``token``; whether there was one to end."""
        with writing(self._engine) as connection:
            return store.revoke_token(connection, _digest(token), now) > 0

    def revoke_all(self, issuer: str, subject: str, now: int) -> int:
        """End every token of one identity; how many were live."""
        with writing(self._engine) as connection:
            return store.revoke_identity(connection, issuer, subject, now)


def _lives(held: store.Held | None, now: int) -> Identity | None:
    return held.identity if held and held.revoked_at is None and held.identity.expires_at > now else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
