"""A statement as people and the book may see it: what it says is covered, what it does never is.

Detectors read flat text. What they take for one secret may begin inside a comment or a string and end far behind it, and a text
written for that purpose would hide what runs. So the covered text must have the very tokens of the text itself, apart from what
stands inside literals and comments. Where it has not, literals and comments are covered whole, a quoted name by itself, and all
else stays.
"""

from __future__ import annotations

from gatebook.masking.detectors import cover_text
from gatebook.protocols.postgres import lexer

HIDDEN = b"'<covered>'"


def cover_sql(text: str, detectors: frozenset[str]) -> str:
    """The text with its findings covered. A text that PostgreSQL's scanner does not take cannot run, and is covered flat."""
    covered = cover_text(text, detectors)
    if covered == text:
        return text
    data = _scannable(text)
    deeds = lexer.skeleton(data)
    if deeds is None or deeds == lexer.skeleton(_scannable(covered)):
        return covered
    parts: list[bytes] = []
    at = 0
    for token, start, end in lexer.tokens(data) or []:
        parts.append(data[at:start])
        word = data[start:end]
        if lexer.is_literal(token):
            parts.append(word if word.isdigit() and len(word) < 10 else HIDDEN)
        elif not lexer.is_comment(token):
            parts.append(_name(word, detectors) if word.endswith(b'"') else word)
        at = end
    return b"".join([*parts, data[at:]]).decode("utf-8", "replace")


def _name(word: bytes, detectors: frozenset[str]) -> bytes:
    """A quoted name, which may be a secret itself; its quotes stay, so that nothing around it is hidden with it."""
    mark, quoted = word.split(b'"', 1)
    inside = quoted[:-1].decode("utf-8", "replace")
    covered = cover_text(inside, detectors)
    return word if covered == inside else mark + b'"' + covered.replace('"', "").encode() + b'"'


def _scannable(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b" ")
