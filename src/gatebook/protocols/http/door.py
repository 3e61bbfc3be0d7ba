"""Who asks for what: the target and the token of a request, before anything of it is believed.

A target has a host of its own below the listener's domain, ``TARGET.targets.example.org``, or a path, ``/http/TARGET/…``, for
a Kubernetes cluster ``/k8s/TARGET/…``, for a git server ``/git/TARGET/…``. The token is a bearer token; where a client knows
only user and password, it is the password; a script of a page, which can give a WebSocket no fields, says it as a subprotocol
(``subprotocols.py``). A browser that signed in shows a cookie, on a target's own host alone: under paths all targets would be
of one origin, and read each other's (``browsers.py``).

A cookie is sent along by whatever page asks for it, so what comes by cookie is taken only from the target's own pages or from
the address bar (Fetch Metadata; RFC 6454 origins for what tells none).

What clients say to the gateway itself stands in fields of its own, and none of it is sent on: ``Gatebook-Role``,
``Gatebook-Why`` (the ticket or task) and ``Gatebook-Hold`` (``wait`` or ``answer``). A client that knows nothing but an address
says them there, behind the target's name: ``/k8s/TARGET+role=deployer+why=OPS-7/``.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from gatebook.model import PURPOSE_CHARACTERS, Hold
from gatebook.protocols.http import browsers
from gatebook.protocols.http.checks import MalformedError
from gatebook.protocols.http.forwarding import without_cookies
from gatebook.protocols.http.message import Fields, Request
from gatebook.protocols.http.subprotocols import bearer

PREFIXES = {"/http/": "http", "/k8s/": "kubernetes", "/git/": "git"}  # with the protocol of the targets behind each
COOKIE = b"__Host-gatebook"
TOKEN_CHARACTERS = 16_384
_LINE = re.compile(rb"[A-Za-z]{1,32} (%b)" % b"|".join(re.escape(one.encode()) for one in PREFIXES))
_TARGET = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SAID = (b"gatebook-role", b"gatebook-why", b"gatebook-hold")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Knock:
    """Where a request wants to go and what it shows. Its repr never shows the token.

    ``prefix`` is what stands before the target's own paths, "" on a host of its own. ``browser`` says that the token came by
    cookie, ``led`` that a page of another site led the browser here with it: what it asks for may not be its person's will.
    """

    target: str
    request: Request
    prefix: str
    token: str
    role: str
    purpose: str
    hold: Hold
    browser: bool = False
    led: bool = False

    @property
    def protocol(self) -> str:
        """That of the targets which have such paths; "" on a host of its own, where any may be."""
        return next((PREFIXES[one] for one in PREFIXES if self.prefix.startswith(one)), "")

    def __repr__(self) -> str:
        return f"Knock(target={self.target!r}, role={self.role!r}, token=…)"


@dataclass(frozen=True, slots=True)
class Own:
    """A request for what the gateway itself has on the host of this target."""

    target: str
    request: Request


@dataclass(frozen=True, slots=True)
class Turned:
    """A request that gets no further: the status and why. ``target`` is the name where it may sign in on a host of its own."""

    status: int
    why: str
    advice: str = ""
    target: str = ""


def knock(request: Request, domain: str) -> Knock | Own | Turned:
    """Read a request's door. ``domain`` is the listener's, "" for none. The request it gives is the target's own, without
    token."""
    try:
        shown, request = bearer(request) if request.upgrade else ("", request)
    except MalformedError as error:
        return Turned(400, str(error), "Send one token: in Authorization, or as one subprotocol of a WebSocket.")
    if shown:
        request = replace(request, fields=(*request.fields, (b"authorization", b"Bearer " + shown.encode())))
    host = _host(request.authority)
    name = host[: -len(domain) - 1] if domain and host.endswith(f".{domain}") else ""
    if name:
        return _on_its_host(request, name)
    shared = next((one for one in PREFIXES if request.target.startswith(one)), None)
    if shared is None:
        return Turned(404, "no target is named", _where(domain))
    segment, slash, rest = request.target[len(shared) :].partition("/")
    segment, _, query = segment.partition("?")
    name, plus, options = segment.partition("+")
    if not _TARGET.fullmatch(name):
        return Turned(404, "no target is named", _where(domain))
    inner = f"/{rest}" if slash else f"/?{query}" if query else "/"
    if b"\\" in rest.encode()[:1] or rest.startswith("/"):
        return Turned(400, "a path that begins with two slashes names a host to some servers", "Send one slash.")
    token = _token(request)
    if isinstance(token, Turned):
        return token
    said = _options(options) if plus else {}
    if said is None:
        return Turned(400, "what stands behind the target's name cannot be read", "Say +role=NAME, +why=TICKET or +hold=wait.")
    return _knock(request, name, inner, shared + segment, token, said, browser=False)


def protocol_of(request: Request, domain: str) -> str:
    """The protocol of the targets behind such a path; "" where it is none of those, or on a host of a target's own."""
    if domain and _host(request.authority).endswith(f".{domain}"):
        return ""
    return next((PREFIXES[one] for one in PREFIXES if request.target.startswith(one)), "")


def protocol_of_line(begun: bytes) -> str:
    """The same of a request whose head cannot be read, by what its first line seems to be; that of HTTP APIs for any other."""
    found = _LINE.match(begun)
    return PREFIXES[found[1].decode()] if found else "http"


def _options(written: str) -> dict[bytes, str] | None:
    """What a client says behind the target's name, by the fields that say the same; None where that cannot be read."""
    said: dict[bytes, str] = {}
    for one in written.split("+"):
        key, _, value = one.partition("=")
        try:
            plain = unquote(value, errors="strict")
        except UnicodeDecodeError:
            return None
        field = b"gatebook-" + key.encode()
        if field not in _SAID or field in said or not plain:
            return None
        said[field] = plain
    return said


def _on_its_host(request: Request, name: str) -> Knock | Own | Turned:
    if not _TARGET.fullmatch(name):
        return Turned(404, "no target has this name", "Ask whoever runs the gateway for the names of its targets.")
    if browsers.is_own(request.target):
        return Own(name, request)
    if request.get(b"authorization") is not None:
        token = _token(request)
        if isinstance(token, Turned):
            return token
        if request.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and _is_basic(request) and (why := forged(request)):
            return Turned(403, why, "Open it from its own pages, or send a bearer token.")
        return _knock(request, name, request.target, "", token, {}, browser=False)
    found = [value for key, value in cookies(request.fields) if key == COOKIE]
    if not found:
        return Turned(401, "no token", "Send `Authorization: Bearer TOKEN`; `gatebook token` gives one.", name)
    if len(found) > 1:
        return Turned(401, "more than one sign-in", "Have the browser forget this site's cookies, and open the page again.")
    if why := forged(request):
        return Turned(403, why, "Open it from its own pages, or send a token of your own.")
    return _knock(request, name, request.target, "", found[0].decode("latin-1"), {}, browser=True)


def _knock(
    request: Request, name: str, target: str, prefix: str, token: str, options: dict[bytes, str], *, browser: bool
) -> Knock | Turned:
    said = {key: _said(request, key) for key in _SAID}
    for key, value in said.items():
        if value == "":
            said[key] = value = options.get(key, "")
        elif key in options:
            value = None
        if value is None or not value.isprintable() or len(value) > PURPOSE_CHARACTERS:
            return Turned(400, f"{key.decode()} is said twice, or is no short text", "Say it once, in printable characters.")
    if browser and (said[b"gatebook-role"] or said[b"gatebook-why"]):
        return Turned(400, "role and purpose are the person's to say, not a page's", "Send a bearer token to say them.")
    hold = said[b"gatebook-hold"] or Hold.ANSWER.value
    if hold not in (Hold.WAIT.value, Hold.ANSWER.value):
        return Turned(400, "gatebook-hold is neither wait nor answer", "Say one of them, or neither.")
    fields = tuple(one for one in request.fields if not _ours(one[0]))
    inner = Request(request.method, request.scheme, request.authority, target, without_cookies(fields, COOKIE), request.upgrade)
    led = browser and browsers.comes_from_elsewhere(request)
    role, why = said[b"gatebook-role"] or "", said[b"gatebook-why"] or ""
    return Knock(name, inner, prefix, token, role, why, Hold(hold), browser, led)


def _ours(name: bytes) -> bool:
    return name == b"authorization" or name == b"proxy-authorization" or name.startswith(b"gatebook-")


def _said(request: Request, name: bytes) -> str | None:
    """What a client says to the gateway; None where it contradicts itself or cannot be read."""
    values = list(request.all(name))
    if len(values) > 1:
        return None
    try:
        return values[0].decode().strip() if values else ""
    except UnicodeDecodeError:
        return None


def _token(request: Request) -> str | Turned:
    values = list(request.all(b"authorization"))
    if len(values) != 1:
        why = "no token" if not values else "more than one Authorization field"
        return Turned(401, why, "Send `Authorization: Bearer TOKEN` once; `gatebook token` gives one.")
    scheme, _, rest = values[0].partition(b" ")
    rest, kind = rest.strip(), scheme.lower()
    if kind == b"bearer" and rest:
        token = rest.decode("latin-1")
    elif kind == b"basic" and rest:
        token = _password(rest)
    else:
        token = ""
    if not token or len(token) > TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        return Turned(401, "no token that can be read", "Send `Authorization: Bearer TOKEN`, or the token as a password.")
    return token


def _is_basic(request: Request) -> bool:
    """Whether the token came by a way that browsers repeat by themselves."""
    return (request.get(b"authorization") or b"").lower().startswith(b"basic")


def _password(credentials: bytes) -> str:
    """The password of RFC 7617's user-pass; "" where it is none."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2].decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def forged(request: Request) -> str:
    """Why a request that came by cookie is not its person's own will; "" where it may be."""
    origins = list(request.all(b"origin"))
    own = f"{request.scheme}://{request.authority}".lower().encode()
    if request.upgrade and (len(origins) != 1 or origins[0].lower() != own):
        return "a page of another origin opens a connection by your cookie"
    if any(one.lower() != own for one in origins):
        return "a page of another origin asks by your cookie"
    site, mode = request.get(b"sec-fetch-site") or b"", request.get(b"sec-fetch-mode") or b""
    if site in (b"same-origin", b"none"):
        return ""
    safe = request.method in _SAFE_METHODS
    if site and not (safe and mode == b"navigate" and request.get(b"sec-fetch-dest") == b"document"):
        return "a page of another origin asks by your cookie"
    if not site and not safe and not origins:
        return "nothing tells which page asks by your cookie"
    return ""


def cookies(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Every cookie of a request's head, in order (RFC 6265, section 4.2)."""
    found = []
    for name, value in fields:
        if name == b"cookie":
            for pair in value.split(b";"):
                key, equals, said = pair.strip(b" \t").partition(b"=")
                found.append((key if equals else b"", said if equals else key))
    return found


def _host(authority: str) -> str:
    """The host of an authority, in lower case, without its port and a last dot."""
    host = authority.rpartition(":")[0] if re.search(r":[0-9]*\Z", authority) else authority
    return host.lower().removesuffix(".")


def _where(domain: str) -> str:
    own = f"https://TARGET.{domain}/ or " if domain else ""
    return f"Address it as {own}/http/TARGET/ and send `Authorization: Bearer TOKEN`."
