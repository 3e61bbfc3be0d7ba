"""What a browser sends and is told: cookies that stay here, exact origins, headers that forbid what pages do not do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gatebook.web.guard import read_body

SIGN_IN = "__Host-gatebook-sign-in"  # between leaving for the provider and coming back
SESSION = "__Host-gatebook"
RETURN_SECONDS = 600
FIELDS = 10
FIELD_CHARACTERS = 4_000

# Everything that the pages use comes from here, as a file; nothing inline, no frames, no markup made by scripts.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",  # with no-referrer a form of ours would come with Origin: null
}


class Refused(Exception):  # noqa: N818 - it is an answer
    """An answer as a page that ends a request: status, title and what to do."""

    def __init__(self, status: HTTPStatus, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


def origin_of(public_url: str) -> str:
    """Scheme, host and port, as browsers write an origin."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")


def check_host(request: Request, origin: str) -> None:
    """Cookies belong to a host: under another name nobody would be signed in, and another name may be an attacker's."""
    if request.headers.get("host", "").lower() != urlsplit(origin).netloc.lower():
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "Another address", f"These pages are at {origin} alone.")


def check_own(request: Request, origin: str) -> None:
    """A change comes from a page of ours: exactly this origin, and a browser that says so by Fetch Metadata."""
    if request.headers.getlist("origin") != [origin] or request.headers.getlist("sec-fetch-site") != ["same-origin"]:
        text = "This did not come from a page of Gatebook. Nothing was changed. If you meant it, open the page and do it there."
        raise Refused(HTTPStatus.FORBIDDEN, "Not from here", text)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a small form, each once."""
    body = await read_body(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Not a form", "A form was expected. Nothing was changed.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "A broken form", "The form cannot be read. Nothing was changed.") from None
    form = dict(pairs)
    if len(form) != len(pairs) or any(len(value) > FIELD_CHARACTERS for value in form.values()):
        text = f"A field stands twice, or is longer than {FIELD_CHARACTERS:,} characters. Nothing was changed."
        raise Refused(HTTPStatus.BAD_REQUEST, "A broken form", text)
    return form


def set_cookie(response: Response, key: str, value: str, seconds: int) -> None:
    """``__Host-``: from this host alone, over TLS alone, for every path, unseen by scripts.

    The cookie of a session is Strict: no request that another site begins carries it. That of a sign-in under way must come
    back with the provider's redirect, so it is Lax; it proves nobody.
    """
    response.set_cookie(key, value, max_age=seconds, path="/", secure=True, httponly=True, samesite=_site(key))


def drop_cookie(response: Response, key: str) -> None:
    """Forget a cookie."""
    response.delete_cookie(key, path="/", secure=True, httponly=True, samesite=_site(key))


def _site(key: str) -> Literal["lax", "strict"]:
    return "lax" if key == SIGN_IN else "strict"
