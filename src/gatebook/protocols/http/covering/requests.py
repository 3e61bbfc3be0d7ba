"""A request as a log, an approver or a recording may show it: query, fields and content covered as an answer's would be.

What a client sends may hold secrets and personal data of its own, and it may be anything. So nothing here refuses: what cannot
be read is shown by its size and digest alone. Only so much is shown; for the rest a digest stands.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote_to_bytes

from gatebook.errors import WireError
from gatebook.masking.detectors import UNREAD
from gatebook.masking.styles import COVERED
from gatebook.protocols.http.covering.choosing import coverer_of
from gatebook.protocols.http.covering.codings import codings_of, decoded
from gatebook.protocols.http.covering.forms import cover_query
from gatebook.protocols.http.covering.heads import covered_fields
from gatebook.protocols.http.covering.media import media_type
from gatebook.protocols.http.covering.plan import Counts, Plan
from gatebook.protocols.http.covering.text import UnnamedCover
from gatebook.protocols.http.message import Fields, Request

SHOWN_BYTES = 16_384
# Fields that are a secret whatever stands in them.
SECRETS = frozenset(
    b"authorization proxy-authorization cookie x-api-key api-key apikey x-auth-token x-access-token x-amz-security-token "
    b"x-goog-api-key x-csrf-token x-xsrf-token x-vault-token private-token".split()
)
_COOKIE = re.compile(rb"(=)[^;]*")


def shown_request(request: Request, content: bytes | None, plan: Plan, *, most: int = SHOWN_BYTES) -> str:
    """The request in words: first line, fields, an empty line, and the beginning of its content; None: it was not read."""
    masked: Counts = {}
    path, sign, query = request.target.partition("?")
    shown_path = plan.looked(path.encode("utf-8", "surrogateescape"), masked, b"/" + UNREAD.encode()).decode("utf-8", "replace")
    plain = unquote_to_bytes(path)
    if plan.looked(plain, masked, b"") != plain:  # what is found only in what the escapes mean is shown as that, covered
        shown_path = _text(plan.looked(plain, masked, b"/" + UNREAD.encode()))
    lines = [f"{request.method} {shown_path}{sign}{_query(query, plan, masked)}"]
    lines += [f"{_text(name)}: {_text(value)}" for name, value in shown_fields(request.fields, plan)]
    if content is None:
        return "\n".join([*lines, "", UNREAD])
    return "\n".join([*lines, "", shown_content(request.fields, content, plan, most=most)]) if content else "\n".join(lines)


def shown_fields(fields: Fields, plan: Plan) -> Fields:
    """Fields of a request, covered; of cookies the names stay."""
    masked: Counts = {}
    shown = []
    for name, value in covered_fields(fields, plan, masked, content=False):
        if name == b"cookie":
            value = _COOKIE.sub(rb"\1" + COVERED, value) if b"=" in value else COVERED
        elif name in SECRETS:
            scheme, space, _ = value.partition(b" ")
            value = scheme + space + COVERED if space and scheme.isalpha() else COVERED
        shown.append((name, value))
    return tuple(shown)


def shown_content(fields: Fields, content: bytes, plan: Plan, *, most: int = SHOWN_BYTES) -> str:
    """The beginning of a content, covered by its type, and a digest where that is not all of it."""
    said = f"{len(content)} bytes, sha256:{hashlib.sha256(content).hexdigest()}"
    codings = codings_of(value for name, value in fields if name == b"content-encoding")
    if codings is None:
        return f"{UNREAD} ({said})"
    try:
        inner = decoded(content, codings, most + 1) if codings else content
        shown, whole = _covered(fields, inner, plan, most)
        text = shown.decode()
    except (WireError, UnicodeDecodeError):
        return f"{UNREAD} ({said})"
    return text if whole and not codings else f"{text}… ({said})"


def _covered(fields: Fields, content: bytes, plan: Plan, most: int) -> tuple[bytes, bool]:
    """What may be shown, and whether it is all. Raises WireError for what cannot be read."""
    kind = media_type(next((value for name, value in fields if name == b"content-type"), None))
    coverer, why = coverer_of(kind, fields, plan, ())
    if why or coverer is None:
        if kind.name and (coverer is None or plan.rules_fields):
            raise WireError("a content that cannot be read")
        coverer = UnnamedCover(plan)
    shown = coverer.feed(content[:most])
    if len(content) <= most:
        shown += coverer.finish()
    return shown, len(content) <= most


def _query(query: str, plan: Plan, masked: Counts) -> str:
    return cover_query(query, plan, masked) if query else ""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
