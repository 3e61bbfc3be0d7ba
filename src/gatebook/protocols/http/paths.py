"""The path and the query of a request, decoded once, as every server does it; what servers do differently is a doubt.

A rule about ``/iam`` is worth nothing if ``/public/..;/iam``, ``/%69am%2f`` or ``/iam%252fusers`` gets to the same handler. So
a path that any known server reads in another way than this file is a doubt, and one with dot segments, NUL or broken encoding
is a fault: clients that mean well resolve those before they send (RFC 3986, section 6.2.2.3).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gatebook.protocols.http.doubts import Doubts, quoted

TARGET_CHARACTERS = 16 * 1024
SEGMENTS = 64
PARAMETERS = 500

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STILL_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|%u[0-9A-Fa-f]{4}")
_SLASH = re.compile("%2[Ff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = frozenset("/\\.%;?#")  # what a segment must not come to hold when its letters are folded


@dataclass(frozen=True, slots=True)
class Path:
    """A path without its query. ``text`` has no trailing slash unless it is the root; ``known`` says that there is no doubt."""

    text: str
    segments: tuple[str, ...]
    known: bool


def read_path(raw: str, doubts: Doubts, *, slashes: bool = False) -> Path:
    """The path, decoded. With any doubt its segments are those of the text as it was sent.

    With ``slashes`` an encoded slash is a letter of its segment to the target, and stays encoded here: ``a%2Fb``.
    """
    if raw == "*":
        return Path("*", ("*",), known=True)
    inner = Doubts()
    segments = _segments(raw, inner, slashes)
    for why in inner.found:
        (doubts.wrong if inner.fault else doubts.unsure)(why)
    if inner.found:
        shown = raw[:TARGET_CHARACTERS].encode("ascii", "backslashreplace").decode()
        segments = tuple(part for part in shown.split("/")[:SEGMENTS] if part)
    return Path("/" + "/".join(segments), segments, known=not inner.found)


def _segments(raw: str, doubts: Doubts, slashes: bool) -> tuple[str, ...]:
    if not raw.startswith("/"):
        doubts.wrong(f"its path {quoted(raw)} does not begin with a slash")
    if len(raw) > TARGET_CHARACTERS:
        doubts.wrong(f"its path is longer than {TARGET_CHARACTERS} characters")
        return ()
    parts = raw.removeprefix("/").split("/")
    if parts[-1] == "":
        parts.pop()
    if len(parts) > SEGMENTS:
        doubts.unsure(f"its path has more than {SEGMENTS} segments")
        return ()
    return tuple(_slashed(part, doubts) if slashes else _segment(part, doubts) for part in parts)


def _slashed(raw: str, doubts: Doubts) -> str:
    """A segment that may hold slashes. Each of its parts is as sound as a segment, should a server read them all the same."""
    return "%2F".join(_segment(part, doubts) for part in _SLASH.split(raw))


def _segment(raw: str, doubts: Doubts) -> str:
    if not raw.isascii() or _CONTROL.search(raw) or " " in raw:
        doubts.wrong("its path has bytes that must be percent-encoded")
        return ""
    if _BROKEN.search(raw):
        doubts.wrong(f"its path has a % that encodes nothing: {quoted(raw)}")
        return ""
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        doubts.wrong(f"its path is not UTF-8: {quoted(raw)}")
        return ""
    if not text:
        doubts.unsure("its path has an empty segment (//)")
    elif text.strip(". ") == "":
        doubts.wrong(f"its path has a dot segment: {quoted(raw)}")
    elif _CONTROL.search(text):
        doubts.wrong(f"its path has an encoded control character: {quoted(raw)}")
    elif "\\" in text:
        doubts.unsure(f"its path has a backslash: {quoted(raw)}")
    elif "/" in text:
        doubts.unsure(f"its path has an encoded slash: {quoted(raw)}")
    elif ";" in text:
        doubts.unsure(f"its path has parameters behind a semicolon: {quoted(raw)}")
    elif "#" in raw:
        doubts.wrong("its path has a fragment")
    elif _STILL_ENCODED.search(text):
        doubts.unsure(f"its path is encoded twice: {quoted(raw)}")
    elif text.endswith((".", " ")):
        doubts.unsure(f"its path has a segment that ends with a dot or space: {quoted(raw)}")
    elif not text.isascii() and _folds(text):
        doubts.unsure(f"its path has a letter that some servers read as a separator: {quoted(raw)}")
    return text


def _folds(text: str) -> bool:
    """Whether some letter becomes a separator, or nothing at all, in a server that folds letters."""
    folded = unicodedata.normalize("NFKC", text)
    return bool(_SEPARATORS & (set(folded) - set(text))) or not text.isprintable()


def read_query(raw: str, doubts: Doubts) -> tuple[tuple[str, str], ...]:
    """Name and value of each parameter, in order, decoded as a form (``+`` is a space)."""
    if not raw:
        return ()
    if not raw.isascii() or _CONTROL.search(raw) or " " in raw or "#" in raw:
        doubts.wrong("its query has bytes that must be percent-encoded")
        return ()
    if ";" in raw:
        doubts.unsure("its query has a bare semicolon, which some servers take for an ampersand")
    return read_form(raw, "query", doubts)


def read_form(raw: str, what: str, doubts: Doubts) -> tuple[tuple[str, str], ...]:
    """The same of a form (``application/x-www-form-urlencoded``)."""
    parts = [part for part in raw.split("&", PARAMETERS + 1) if part]
    if len(parts) > PARAMETERS:
        doubts.unsure(f"its {what} has more than {PARAMETERS} parameters")
        return ()
    if _BROKEN.search(raw):
        doubts.unsure(f"its {what} has a % that encodes nothing")
    try:
        return tuple((_decoded(name), _decoded(value)) for name, _, value in (part.partition("=") for part in parts))
    except UnicodeDecodeError:
        doubts.unsure(f"its {what} is not UTF-8")
        return ()


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()
