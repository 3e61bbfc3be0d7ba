"""Text from outside as markup that cannot lie: everything is escaped, and what could not be seen is named.

A statement may hold controls, marks that turn its letters around, spaces without width, and blanks enough to push its end out
of sight. Each of these becomes a small label with its code point, each long run of blanks a label with its length. Nothing is
left out: the labels and the letters between them are the whole text.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime

from markupsafe import Markup, escape

BLANKS = 33  # spaces side by side that are shown as such; more become a label
LINE_BREAKS = 4
PEEK_LINES, PEEK_CHARACTERS = 5, 400
MICROSECONDS = 1_000_000

# Printable by Unicode's categories, yet nothing is seen of them.
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
_RARE = rf"(?P<spaces> {{{BLANKS},}})|(?P<unseen>[{_UNSEEN}])"
_IN_TEXT = re.compile(rf"{_RARE}|(?P<breaks>\n{{{LINE_BREAKS},}})|(?P<other>[^\n -~])")
_IN_NAME = re.compile(rf"{_RARE}|(?P<breaks>\n{{{LINE_BREAKS},}})|(?P<other>[^ -~])")


def exact(text: str) -> Markup:
    """The whole text, with line breaks as they are and labels for what could not be seen."""
    return Markup().join(_pieces(text, _IN_TEXT))


def name(text: str) -> Markup:
    """A name or a sentence on one line, set apart so that its letters cannot turn those around it."""
    return Markup("<bdi>{}</bdi>").format(Markup().join(_pieces(text, _IN_NAME)))


def _pieces(text: str, labelled: re.Pattern[str]) -> list[Markup]:
    found, done = [], 0
    for match in labelled.finditer(text):
        found.append(escape(text[done : match.start()]))
        found.append(_piece(match))
        done = match.end()
    return [*found, escape(text[done:])]


def _piece(match: re.Match[str]) -> Markup:
    piece = match[0]
    if match["spaces"]:
        return _label(f"{len(piece):,} spaces", "")
    if match["breaks"]:
        return Markup("\n{}\n").format(_label(f"{len(piece):,} line breaks", ""))
    if piece.isprintable() and not match["unseen"]:
        return escape(piece)
    if piece == "\t":
        return Markup('<span class="tab">\t</span>')
    return _label(f"U+{ord(piece):04X}", unicodedata.name(piece, ""))


def _label(text: str, title: str) -> Markup:
    return Markup('<span class="mark" title="{}">{}</span>').format(title or text, text)


def peek(text: str) -> Markup:
    """The beginning of a text, and how much more there is: ``PEEK_LINES`` lines, ``PEEK_CHARACTERS`` characters."""
    begun = "\n".join(text[:PEEK_CHARACTERS].split("\n")[:PEEK_LINES])
    left = len(text) - len(begun)
    return exact(begun) + (Markup(" {}").format(_label(f"{left:,} more characters", "")) if left else Markup())


def size(text: str) -> str:
    """How long a text is, in the three ways that may surprise."""
    lines, octets = text.count("\n") + 1, len(text.encode(errors="replace"))
    parts = [f"{len(text):,} character{'s' * (len(text) != 1)}", f"{lines:,} line{'s' * (lines != 1)}"]
    if octets != len(text):
        parts.insert(1, f"{octets:,} bytes")
    return ", ".join(parts)


def moment(at: int) -> str:
    """A time in microseconds, to the second, UTC."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: int) -> str:
    """The same for machines."""
    return datetime.fromtimestamp(at // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lasted(microseconds: int) -> str:
    """A duration in its two largest units."""
    seconds = max(0, microseconds // MICROSECONDS)
    for unit, small, length in (("d", "h", 86_400), ("h", "min", 3_600), ("min", "s", 60)):
        if seconds >= length:
            rest = seconds % length // {"h": 3_600, "min": 60, "s": 1}[small]
            return f"{seconds // length} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{seconds} s"


def volume(count: int) -> str:
    """A number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
