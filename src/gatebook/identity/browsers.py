"""People signed in to one target by their browser: a code that is good once, and the token that it is redeemed for.

The gateway's pages give the code, for one target and for the browser whose state came with it; a process that serves the
target redeems it, whichever. The token is the value of a cookie of the target's own host: it lets nobody in anywhere else, is
no bearer token, and no bearer token is one. It stands among the gateway tokens, so that it is listed, revoked and looked after
like them; and it stands on the sign-in to the pages, with which it ends.
"""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import Engine

from gatebook.db import writing
from gatebook.errors import IdentityError
from gatebook.identity import store
from gatebook.identity.tokens import BROWSER_PREFIX, MICROSECONDS
from gatebook.model import Identity

CODE_SECONDS = 60  # from the pages back to the target: a redirect
LIVE_CODES = 50  # of one person: pages that send a browser round and round fill no disk


class BrowserSignIns:
    """Gives codes and redeems them. Calls block on the database; safe from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def code(self, identity: Identity, sign_in: bytes, *, target: str, state: str, now: int) -> str:
        """A code for whoever is signed in to the pages; ``state`` is of the browser that began. Raises IdentityError."""
        code = secrets.token_urlsafe(32)
        with writing(self._engine) as connection:
            store.delete_expired_codes(connection, now)
            if store.count_codes(connection, identity.issuer, identity.subject) >= LIVE_CODES:
                raise IdentityError("this person signs in to targets over and over: wait a minute, then open the page again")
            row = store.Code(identity, _digest(state), sign_in, target, now + CODE_SECONDS * MICROSECONDS)
            store.insert_code(connection, _digest(code), row)
        return code

    def redeem(self, code: str, *, target: str, state: str, now: int) -> tuple[str, Identity]:
        """The cookie's value for a code of this target and state, and whom it signs in. Raises IdentityError.

        The code is used up, whatever comes of it: who has it in the wrong place has not come by it rightly.
        """
        with writing(self._engine) as connection:
            held = store.take_code(connection, _digest(code))
        if held is None or held.code_expires_at <= now:
            raise IdentityError("this sign-in was used already, or took too long")
        if held.target != target or not secrets.compare_digest(held.state, _digest(state)):
            raise IdentityError("this sign-in was made for another target or browser")
        token = BROWSER_PREFIX + secrets.token_urlsafe(32)
        with writing(self._engine) as connection:
            if held.identity.expires_at <= now or not store.sign_in_lives(connection, held.sign_in, now):
                raise IdentityError("the sign-in that this one stands on is over")
            store.insert_token(connection, _digest(token), held.identity, now, target=target, sign_in=held.sign_in)
        return token, held.identity

    def end(self, token: str, target: str, now: int) -> None:
        """Sign a browser out of its target."""
        with writing(self._engine) as connection:
            store.revoke_browser_token(connection, _digest(token), target, now)

    def end_of_sign_in(self, sign_in: bytes, now: int) -> int:
        """Sign a person out of every target that they opened by this sign-in to the pages; how many there were."""
        with writing(self._engine) as connection:
            return store.revoke_of_sign_in(connection, sign_in, now)


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
