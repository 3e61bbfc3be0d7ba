"""From "sign in" to a signed-in person, without a row in between: what must come back is derived from one random cookie.

The browser keeps a secret, when it was made, the provider and the page to go on to. State, nonce and PKCE verifier are
HMAC-SHA256 of these under the secret, so an answer fits only the browser, the provider and the page it was begun with.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from gatebook.protocols.http.browsers import PAGE, STATE
from gatebook.web.pages.browser import RETURN_SECONDS

MICROSECONDS = 1_000_000
HOME = "/approvals"
FOR = "/sign-in/for/"  # a target, by browser (targets.py)
PAGE_CHARACTERS = 1_600
_PAGE = re.compile(rf"/(?:approvals|sessions)(?:/[0-9a-f-]{{36}}(?:/replay)?)?|{FOR}[a-z0-9][a-z0-9_-]{{0,62}}/{STATE}/{PAGE}")
_COOKIE = re.compile(rf"([A-Za-z0-9_-]{{43}})\.([0-9]{{1,18}})\.([a-z0-9_-]{{1,63}})\.([0-9A-Za-z_/-]{{1,{PAGE_CHARACTERS}}})")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in under way."""

    secret: str
    at: int
    provider: str
    page: str

    @classmethod
    def now(cls, provider: str, page: str, now: int) -> Begun:
        """A fresh one."""
        return cls(secrets.token_urlsafe(32), now, provider, own_page(page))

    @classmethod
    def read(cls, cookie: str, now: int) -> Begun | None:
        """What the cookie holds, unless it is damaged or too old."""
        found = _COOKIE.fullmatch(cookie)
        if found is None or not 0 <= now - int(found[2]) < RETURN_SECONDS * MICROSECONDS:
            return None
        return cls(found[1], int(found[2]), found[3], own_page(found[4]))

    @property
    def cookie(self) -> str:
        """As the browser keeps it."""
        return f"{self.secret}.{self.at}.{self.provider}.{self.page}"

    @property
    def state(self) -> str:
        """What the provider must send back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the ID token must hold."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What redeems the code (RFC 7636)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider gets to know of the verifier beforehand."""
        return _base64(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, what: str) -> str:
        bound = f"{what}\n{self.at}\n{self.provider}\n{self.page}"
        return _base64(hmac.digest(self.secret.encode(), bound.encode(), "sha256"))


def own_page(page: str) -> str:
    """A page of ours to go on to; anything else becomes the first page."""
    return page if _PAGE.fullmatch(page) else HOME


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
