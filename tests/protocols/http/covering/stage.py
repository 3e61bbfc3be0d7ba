"""Plans to cover by, and contents fed to their coverers in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import FieldPattern, HeaderPattern, MaskSet, Style
from gatebook.masking.tokens import token_key
from gatebook.protocols.http.covering.choosing import Choice, Covered, cover_for
from gatebook.protocols.http.covering.plan import Coverer, Plan, plan_of
from gatebook.protocols.http.message import Request, Response
from gatebook.protocols.relay import Covering

KEY = b"k" * 32
CREDENTIAL = b"s3cr3t/of+the=target"
TOKENS = token_key(b"m" * 32, "anna", "run", "shop", "tokens")


def mask_set(style: Style, *fields: str, headers: Sequence[str] = (), name: str = "") -> MaskSet:
    patterns = tuple(FieldPattern.parse(one) for one in fields)
    return MaskSet(name or style.value, (), style, patterns, tuple(HeaderPattern.parse(one) for one in headers))


def covering(*sets: MaskSet, detectors: Iterable[str] = NAMES) -> Covering:
    named = {one.name: one for one in sets}
    return Covering(named, frozenset(named), frozenset(detectors), KEY, {one.name: (TOKENS,) for one in sets})


def plan(*sets: MaskSet, detectors: Iterable[str] = NAMES, needles: Iterable[bytes] = (), **aliases: list[str]) -> Plan:
    return plan_of(covering(*sets, detectors=detectors), {one.name for one in sets}, tuple(needles), aliases)


DETECTORS = plan()
RULES = plan(mask_set(Style.REDACT, "ssn", "customers.card", "$.top.*.x"), mask_set(Style.PARTIAL, "email"))


def fed(coverer: Coverer, data: bytes, cuts: Iterable[int] = ()) -> bytes:
    out, last = b"", 0
    for at in sorted(cuts):
        piece = data[last : min(at, len(data))]
        out += coverer.feed(piece) if piece else b""
        last = max(last, min(at, len(data)))
    return out + (coverer.feed(data[last:]) if data[last:] else b"") + coverer.finish()


def both(make: Callable[[Plan], Coverer], chosen: Plan, data: bytes, cuts: Iterable[int] = ()) -> tuple[bytes, dict[str, int]]:
    coverer = make(chosen)
    out = fed(coverer, data, cuts)
    return out, dict(coverer.masked)


def answer(kind: str | None, chosen: Plan, *, method: str = "GET", status: int = 200, **fields: str) -> Choice:
    """What becomes of an answer of a type, with more fields of its head (``content_length="3"``)."""
    listed = [(b"content-type", kind.encode())] if kind is not None else []
    listed += [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items() if name != "passes"]
    request = Request(method, "https", "shop.example", "/", ())
    passes = fields["passes"].split() if "passes" in fields else ("image/*", "font/*", "audio/*", "video/*")
    return cover_for(request, Response(status, tuple(listed)), chosen, passes)


def shown(kind: str, chosen: Plan, data: bytes, cuts: Iterable[int] = (), **fields: str) -> bytes:
    """What the client gets of a content of a type."""
    choice = answer(kind, chosen, **fields)
    assert isinstance(choice, Covered), choice
    return fed(choice.coverer, data, cuts)
