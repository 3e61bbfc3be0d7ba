"""Heads and trailers of answers, and what a request must not ask for: covered, and without what tells of the real content."""

from __future__ import annotations

import re
from base64 import b64decode
from urllib.parse import quote_from_bytes, unquote_to_bytes

from gatebook.masking.detectors import scan
from gatebook.masking.styles import COVERED
from gatebook.protocols.http.covering.codings import acceptable
from gatebook.protocols.http.covering.plan import Counts, Plan, Rule, count
from gatebook.protocols.http.message import Fields

# What the target says of the bytes that it sent, which are not those that the client gets: wrong, and a digest of covered
# content would let values be tried.
OF_THE_CONTENT = frozenset(
    b"content-length etag digest content-digest repr-digest content-md5 content-range accept-ranges signature signature-input "
    b"x-amz-checksum-crc32 x-amz-checksum-crc32c x-amz-checksum-crc64nvme x-amz-checksum-sha1 x-amz-checksum-sha256 "
    b"x-goog-hash x-checksum-sha1 x-checksum-sha256 x-checksum-md5".split()
)
# What a request may not ask for when its answer may be covered: differences and digests of the real content, and what proves
# that the real content is the one that somebody guesses. Whoever writes keeps its conditions: without them it would do more.
_DERIVED = frozenset(b"a-im want-digest want-content-digest want-repr-digest".split())
_PROVING = frozenset(b"if-match if-none-match".split())
_PARTS = frozenset(b"range if-range if-modified-since if-unmodified-since".split())
ADDRESSES = 3  # inside of one another, whose parameters are covered
NAMES_OF_COOKIES = (b"set-cookie", b"set-cookie2")
# A cookie is there to be sent back, so what makes it a secret is no reason to cover it; neither is it with what guards forms.
_OF_SESSIONS = frozenset({"secret", "jwt", "authorization", "gatebook-token"})
_GUARDS = re.compile(rb"csrf|xsrf", re.IGNORECASE)
# Fields that protocols need as they are: what they hold is of a fixed grammar with no room for a value.
_PLAIN = frozenset(
    b"date expires age last-modified content-type content-encoding content-language transfer-encoding connection keep-alive "
    b"cache-control vary server allow upgrade sec-websocket-accept strict-transport-security trailer "
    b"access-control-allow-methods access-control-allow-headers access-control-max-age".split()
)


def covered_fields(fields: Fields, plan: Plan, masked: Counts, *, content: bool = True) -> Fields:
    """The fields of a head, or trailers, as the client may see them.

    With ``content`` it is covered, and so without what tells of the real one.
    """
    kept = [(name, value) for name, value in fields if not (content and name in OF_THE_CONTENT)]
    return tuple((name, _covered(name, value, plan, masked)) for name, value in kept)


def towards_target(fields: Fields, method: str = "GET", *, parts: bool = False) -> Fields:
    """What a request asks the target for when its answer may be covered: contents in codings that can be read, and no proofs.

    With ``parts`` it may ask for a part, and what has changed since some time: of what passes unread that is harmless, and
    of all else the whole is asked for instead (relay). A part under a condition is none where the condition may not be sent.
    """
    gone = _DERIVED
    if method in ("GET", "HEAD"):
        gone |= _PROVING
        if not parts or any(name == b"if-range" and not value.endswith(b"GMT") for name, value in fields):
            gone |= _PARTS
    kept = tuple((name, value) for name, value in fields if name not in gone and name != b"accept-encoding")
    wanted = b", ".join(value for name, value in fields if name == b"accept-encoding") or None
    return (*kept, (b"accept-encoding", acceptable(wanted)))


def _covered(name: bytes, value: bytes, plan: Plan, masked: Counts) -> bytes:
    rule = plan.header(name.decode("latin-1"))
    if name.endswith(b"-bin"):
        return _metadata(value, plan, masked, rule)
    if name in NAMES_OF_COOKIES:
        return _cookie(value, plan, masked, whole=rule is not None)
    if rule is not None:
        count(masked, rule.style.value)
        return _fit(rule.cover(value))
    if name in _PLAIN:
        return plan.needles.cover(value, masked) if plan.needles else value
    return _looked(name, value, plan, masked)


def _metadata(value: bytes, plan: Plan, masked: Counts, rule: Rule | None) -> bytes:
    """Binary metadata of gRPC, in base64, several joined by commas: covered it is empty, as anything else would be garbled."""
    if rule is not None:
        count(masked, rule.style.value)
        return b""
    for one in value.split(b","):
        coded = one.strip()
        try:
            plain = b64decode(coded + b"=" * (-len(coded) % 4), validate=True)
        except ValueError:
            plain = coded
        if any(plan.looked(read, masked, b"") != read for read in (coded, plain, *_LETTERS.findall(plain))):
            return b""
    return value


def _looked(name: bytes, value: bytes, plan: Plan, masked: Counts) -> bytes:
    """A value as it stands beside its name, and as it is with its percent-encodings decoded."""
    if plan.rules_fields and b"=" in value:
        value = _ruled(value, plan, masked)
    if _GUARDS.search(name):
        return _without(_OF_SESSIONS, value, plan, masked)
    value = _beside(name, value, plan, masked)
    if b"%" not in value:
        return value
    plain = unquote_to_bytes(value)
    covered = _beside(name, plain, plan, masked)
    return value if covered == plain else covered


def _ruled(value: bytes, plan: Plan, masked: Counts, depth: int = ADDRESSES) -> bytes:
    """The parameters of an address, each as it is covered where it stands in content; an address may hold another."""

    def covered(pair: re.Match[bytes]) -> bytes:
        plain = unquote_to_bytes(pair[3].replace(b"+", b" "))
        rule = plan.named(unquote_to_bytes(pair[2].replace(b"+", b" ")).decode("utf-8", "replace"))
        if rule is not None:
            count(masked, rule.style.value)
            said = rule.cover(plain)
        elif depth and b"=" in plain:
            said = _ruled(plain, plan, masked, depth - 1)
        else:
            return pair[0]
        return pair[0] if said == plain else pair[1] + pair[2] + b"=" + quote_from_bytes(said, safe="*/").encode()

    return _PAIR.sub(covered, value)


def _beside(name: bytes, value: bytes, plan: Plan, masked: Counts) -> bytes:
    text = name + b": " + value
    covered = plan.looked(text, masked, b"")
    if covered == text:
        return value
    return _fit(covered[len(name) + 2 :]) if covered.startswith(name + b": ") else COVERED


def _without(left: frozenset[str], value: bytes, plan: Plan, masked: Counts) -> bytes:
    value = plan.without_said(value, masked)
    chosen = scan(plan.names - left)
    return _fit(chosen.cover(value, chosen.suspects(value), masked))


def _cookie(value: bytes, plan: Plan, masked: Counts, *, whole: bool) -> bytes:
    """A Set-Cookie: the cookie's value is covered, its attributes stay."""
    pair, sign, attributes = value.partition(b";")
    name, equals, inner = pair.partition(b"=")
    rule = plan.header("set-cookie") if whole else plan.header(name.strip().decode("latin-1"), cookie=True)
    if rule is not None and equals:
        count(masked, rule.style.value)
        return name + equals + _fit(rule.cover(inner.strip().strip(b'"'))) + sign + attributes
    for read in (value, unquote_to_bytes(inner) if b"%" in inner else inner):
        covered = _without(_OF_SESSIONS, read, plan, masked)
        if covered != read:
            return covered if read is value else name + equals + covered.replace(b";", b"") + sign + attributes
    return value


_PAIR = re.compile(rb"([?&;#])([^?&;#=\s<>\"]{1,256})=([^&;#\s<>\",]*)")  # of a query or a fragment
_LETTERS = re.compile(rb"[\x20-\x7e\x80-\xff]{6,}")  # a text within a message, without the bytes that say what it is
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def _fit(value: bytes) -> bytes:
    """What may stand in a field."""
    return _UNFIT.sub(b"", value)
