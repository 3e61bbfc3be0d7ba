"""Credentials that the gateway shows to a target, and that must not come back: found anywhere, in whatever type.

Looked for as they are, in base64 at each of its three offsets, and with any of their characters percent-encoded or written as
an escape of JSON or a reference of HTML. What a target turns around, encrypts or compresses inside of its own format is not
found.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Collection, Iterable
from urllib.parse import unquote_to_bytes

from gatebook.masking.styles import COVERED

SHORTEST = 6  # bytes; a shorter credential stands everywhere by chance, and to cover it there would tell it
LONGEST = 4096  # bytes; of a longer one its first so many are looked for
_LONGEST_ESCAPE = 8  # "&#x0041;"


class Needles:
    """The credentials of one role. Its repr shows none."""

    def __init__(self, secrets: Collection[bytes]) -> None:
        kept = sorted({one[:LONGEST] for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self._kept = tuple(kept)
        self._literals = tuple(dict.fromkeys(form for one in kept for form in (one, *_coded(one), *_quoted(one))))
        self._plain = re.compile(b"|".join(map(re.escape, self._literals))) if kept else None
        self._loose = re.compile(b"|".join(b"".join(map(_loosely, one)) for one in kept)) if kept else None
        self._percent, *self._hints = _hints({byte for one in kept for byte in one})
        self._reach = max((len(one) for one in self._literals), default=1) - 1
        self._loose_reach = _LONGEST_ESCAPE * max(map(len, kept), default=0)

    def with_more(self, secrets: Iterable[bytes]) -> Needles:
        """These and others."""
        return Needles((*self._kept, *secrets))

    def __repr__(self) -> str:
        return f"Needles({len(self._literals)} forms)"

    def __bool__(self) -> bool:
        return bool(self._literals)

    def found(self, data: bytes, *, opaque: bool = False) -> bool:
        """Whether one of them stands in the data; in what is opaque nobody writes escapes of JSON or HTML."""
        return any(one in data for one in self._literals) or self._escaped(data, opaque=opaque)

    def _escaped(self, data: bytes, *, opaque: bool) -> bool:
        if self._loose is None:
            return False
        if b"%" in data and self._percent.search(data):
            plain = unquote_to_bytes(data)
            if any(one in plain for one in self._kept):
                return True
        return not opaque and any(hint.search(data) for hint in self._hints) and self._loose.search(data) is not None

    def cover(self, data: bytes, counts: dict[str, int], *, same_length: bool = False) -> bytes:
        """The data without them, the same object if there are none."""
        if self._plain is None or self._loose is None or not self.found(data, opaque=same_length):
            return data

        def covered(found: re.Match[bytes]) -> bytes:
            counts["credential"] = counts.get("credential", 0) + 1
            return b"*" * len(found[0]) if same_length else COVERED

        return self._loose.sub(covered, self._plain.sub(covered, data))

    def held(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of one."""
        reach = data[-self._reach :] if self._reach else b""
        most = max((_overlap(reach, one) for one in self._literals), default=0)
        tail = data[-self._loose_reach :] if self._loose_reach else b""
        if not any(mark in tail for mark in _MARKS):
            return most
        return max(most, self._loose_overlap(tail))

    def _loose_overlap(self, tail: bytes) -> int:
        """The same for one that is written with escapes: from the first place where one may begin and not yet have ended."""
        plain, starts = _unescaped(tail)
        longest = max((_overlap(plain, one) for one in self._literals), default=0)
        return len(tail) - starts[len(plain) - longest]


def _coded(secret: bytes) -> list[bytes]:
    """What of it stands in base64 of a text that holds it, whatever stands before and behind; also in the alphabet for URLs."""
    forms = []
    for offset in range(3):
        coded = b64encode(b"\0" * offset + secret)
        sure = coded[(offset * 8 + 5) // 6 : (offset + len(secret)) * 8 // 6]
        if len(sure) >= SHORTEST:
            forms += [sure, sure.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


def _loosely(byte: int) -> bytes:
    """A pattern of one byte in all its forms."""
    char = re.escape(bytes((byte,)))
    high, low = (b"[%s]" % bytes({ord(digit), ord(digit.upper())}) for digit in f"{byte:02x}")
    forms = [char, b"%" + high + low, rb"\\u00" + high + low, rb"&#0{0,3}%d;" % byte, rb"&#[xX]0{0,3}" + high + low + b";"]
    if byte in b'"\\/':
        forms.append(rb"\\" + char)
    if byte in _NAMED:
        forms.append(_NAMED[byte])
    return b"(?:%s)" % b"|".join(forms)


_NAMED = {0x26: b"&amp;", 0x3C: b"&lt;", 0x3E: b"&gt;", 0x22: b"&quot;", 0x27: b"&apos;"}
_MARKS = (b"%", b"\\", b"&")


def _quoted(secret: bytes) -> list[bytes]:
    """It inside of a string of JSON, with slashes escaped or not, and in HTML."""
    inside = secret.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    return [inside, inside.replace(b"/", rb"\/"), html.escape(secret.decode("latin-1")).encode("latin-1", "replace")]


def _hints(codes: set[int]) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """Where one of its bytes is written as an escape: percent-encoded, in JSON, in HTML."""
    hexes = b"|".join(dict.fromkeys(form % byte for byte in sorted(codes) for form in (b"%02x", b"%02X"))) or b"(?!)"
    tens = b"|".join(b"%d" % byte for byte in sorted(codes)) or b"(?!)"
    return (
        re.compile(b"%%(?:%s)" % hexes),
        re.compile(rb"\\u00(?:%s)" % hexes),
        re.compile(rb"&#0{0,3}(?:(?:%s);|[xX]0{0,3}(?:%s);)" % (tens, hexes)),
    )


_FORM = re.compile(
    rb"%([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})|\\([\"/]|\\(?![u\"/\\]|\Z))|&#([0-9]{1,6});|&#[xX]([0-9a-fA-F]{1,5});|&(amp|lt|gt|quot|apos);"
    rb"|([%\\&][#xXu0-9a-zA-Z]{0,7}\Z)",
    re.DOTALL,
)
_LETTERS = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


def _unescaped(data: bytes) -> tuple[bytes, list[int]]:
    """The data with escapes as what they stand for, and where each of its bytes began; an escape that is cut off ends it."""
    plain = bytearray()
    starts: list[int] = []
    at = 0
    for found in _FORM.finditer(data):
        plain += data[at : found.start()]
        starts += range(at, found.start())
        at = found.end()
        if found[7] is not None:
            starts += [found.start()]
            return bytes(plain), starts
        plain += _meant(found)
        starts += [found.start()] * (len(plain) - len(starts))
    return bytes(plain + data[at:]), [*starts, *range(at, len(data)), len(data)]


def _meant(found: re.Match[bytes]) -> bytes:
    if code := found[1] or found[2] or found[5]:
        return bytes((int(code, 16) & 0xFF,))
    if found[3]:
        return found[3]
    return bytes((int(found[4]) & 0xFF,)) if found[4] else _LETTERS[found[6]]


def _overlap(data: bytes, one: bytes) -> int:
    """How many bytes at the end of the data are the beginning of the one, but not all of it."""
    at = data.find(one[:1], max(0, len(data) - len(one) + 1))
    while at >= 0:
        if one.startswith(data[at:]):
            return len(data) - at
        at = data.find(one[:1], at + 1)
    return 0


class NeedleFilter:
    """Covers credentials in a content of any type, holding back only what may be the beginning of one."""

    def __init__(self, needles: Needles, *, same_length: bool = False) -> None:
        self.masked: dict[str, int] = {}
        self._needles = needles
        self._same_length = same_length
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on."""
        data = self._needles.cover(self._held + data, self.masked, same_length=self._same_length)
        keep = self._needles.held(data)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep] if keep else data

    @property
    def held(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def idle(self) -> bytes:
        """What was held back, where so few bytes begin many things and somebody waits for them."""
        return self.finish() if len(self._held) < SHORTEST else b""

    def finish(self) -> bytes:
        """What was held back: the beginning of a credential alone is none."""
        held, self._held = self._held, b""
        return held
