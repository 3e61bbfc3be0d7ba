"""What a browser without a token does at a target's host: it is sent to the gateway's own pages to sign in, and comes back.

    GET /reports             no cookie: 303 to the gateway's pages, with a state that only this browser can have
    (its pages)              the person signs in, or is signed in already; 303 back, with a code that is good once
    GET …/gatebook/sign-in   code, state and page fit together: the cookie of the sign-in, and 303 to /reports

What must come back is derived from one random cookie, so that nothing is kept of browsers that never do: the state is an HMAC
of target, page and time under the cookie's secret. The page stands in the address: whoever changes it has a state that does not
fit, and can do no more than with a link. Cookies begin with ``__Host-``: no sibling host can set them, and none of them goes on
to a target.

All below ``/.well-known/gatebook/`` (RFC 8615) on a target's own host is the gateway's, whoever asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from gatebook.protocols.http.message import Fields, Request

PLACE = "/.well-known/gatebook/"
SIGN_IN, SIGN_OUT = f"{PLACE}sign-in", f"{PLACE}sign-out"
BEGUN = b"__Host-gatebook-begun"
BACK_SECONDS = 600  # for a person to sign in at the provider
PAGE_CHARACTERS = 1_000  # of the page to come back to; longer ones come back to the first
MICROSECONDS = 1_000_000
STATE = "[A-Za-z0-9_-]{43}"  # of 32 bytes in base64url, as codes and secrets are
PAGE = "[A-Za-z0-9_-]{2,1400}"

_BEGUN = re.compile(rf"({STATE})\.([0-9]{{1,18}})")
_BACK = re.compile(rf"{re.escape(SIGN_IN)}\?code=({STATE})&state=({STATE})&page=({PAGE})")
_SAFE = re.compile(r"/(?![/\\])[!-~]*")


@dataclass(frozen=True, slots=True)
class Begun:
    """A browser that was sent to sign in, and when. Its repr never shows the secret."""

    secret: str
    at: int

    def __repr__(self) -> str:
        return f"Begun(at={self.at})"

    @classmethod
    def read(cls, cookies: list[tuple[bytes, bytes]], now: int) -> Begun | None:
        """What the cookie holds, unless there is none, or several, or it is damaged or too old."""
        found = [value for name, value in cookies if name == BEGUN]
        match = _BEGUN.fullmatch(found[0].decode("latin-1")) if len(found) == 1 else None
        if match is None or not 0 <= now - int(match[2]) < BACK_SECONDS * MICROSECONDS:
            return None
        return cls(match[1], int(match[2]))

    @property
    def cookie(self) -> bytes:
        """As the browser keeps it: Lax, since it must come back with a redirect from another site. It proves nobody."""
        held = f"{self.secret}.{self.at}".encode()
        return BEGUN + b"=" + held + b"; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d" % BACK_SECONDS

    def state(self, target: str, page: str) -> str:
        """What must come back with a code for this target and page."""
        bound = f"state\n{self.at}\n{target}\n{page}"
        return unpadded(hmac.digest(self.secret.encode(), bound.encode(), hashlib.sha256))


@dataclass(frozen=True, slots=True)
class Back:
    """What a browser brings back from signing in. Its repr shows nothing of it."""

    code: str
    state: str
    page: str

    def __repr__(self) -> str:
        return f"Back(page={self.page!r})"

    @classmethod
    def read(cls, target: str) -> Back | None:
        """Out of a request's target; None where it is none, or names no page of this host."""
        found = _BACK.fullmatch(target)
        page = packed_page(found[3]) if found is not None else None
        return cls(found[1], found[2], page) if found is not None and page is not None else None


def is_own(target: str) -> bool:
    """Whether a target is the gateway's own on any target's host."""
    return target.startswith(PLACE)


def navigates(request: Request) -> bool:
    """Whether a browser asks for a page to show in its window, so that it may be sent elsewhere first."""
    if request.method != "GET" or request.upgrade:
        return False
    mode, dest = request.get(b"sec-fetch-mode"), request.get(b"sec-fetch-dest")
    return (mode == b"navigate" and dest in (b"document", None)) if mode is not None else _wants_html(request)


def shows_pages(request: Request) -> bool:
    """Whether a refusal is read by a person: a browser that goes to a page, or sends a form."""
    mode = request.get(b"sec-fetch-mode")
    return not request.upgrade and (mode == b"navigate" if mode is not None else _wants_html(request))


def _wants_html(request: Request) -> bool:
    """Browsers of before Fetch Metadata; programs say ``*/*``, or what they read."""
    return (request.get(b"accept") or b"").lower().startswith(b"text/html")


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a page of another site, a sibling target's among them, sent the browser here."""
    return request.get(b"sec-fetch-site") in (b"cross-site", b"same-site")


def page_of(request: Request) -> str:
    """Where to come back to: the page that was asked for, or the first."""
    return own_page(request.target)


def own_page(target: str) -> str:
    """A page of the same host, whatever a browser makes of slashes; anything else becomes the first."""
    safe = _SAFE.fullmatch(target) and len(target) <= PAGE_CHARACTERS and not is_own(target)
    return target if safe else "/"


def packed(page: str) -> str:
    """A page as addresses carry it."""
    return unpadded(page.encode())


def packed_page(text: str) -> str | None:
    """What was packed; None where it is no page of a target's own host."""
    try:
        page = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return page if own_page(page) == page and packed(page) == text else None


def unpadded(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def kept_cookie(name: bytes, value: str, seconds: int) -> tuple[bytes, bytes]:
    """The cookie of a sign-in. Lax: links of other pages find the person signed in, and the door looks at what they ask for."""
    held = b"%b=%b; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d" % (name, value.encode(), seconds)
    return b"set-cookie", held


def dropped_cookie(name: bytes) -> tuple[bytes, bytes]:
    """Have a cookie forgotten."""
    return b"set-cookie", name + b"=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def going_to(address: str, *fields: tuple[bytes, bytes]) -> Fields:
    """The head of a redirect that tells nobody where it came from, and is kept nowhere."""
    return (
        (b"location", address.encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        *fields,
    )
