"""A statement as people and the book may see it: what it says is covered, what it does never is.

Detectors read flat text. What they take for one secret may begin inside a comment or a string and end far behind it, and a text
written for that purpose would hide what runs. So the covered text must have the very tokens of the text itself, apart from what
stands inside literals and comments. Where it has not, literals and comments are covered whole, and all else stays.
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
    data = text.encode("utf-8", "replace").replace(b"\0", b" ")
    deeds = lexer.skeleton(data)
    if deeds is None or deeds == lexer.skeleton(covered.encode("utf-8", "replace").replace(b"\0", b" ")):
        return covered
    parts: list[bytes] = []
    at = 0
    for token, start, end in lexer.tokens(data) or []:
        parts.append(data[at:start])
        word = data[start:end]
        if lexer.is_literal(token):
            parts.append(word if word.isdigit() and len(word) < 10 else HIDDEN)
        elif not lexer.is_comment(token):
            parts.append(word)
        at = end
    return b"".join([*parts, data[at:]]).decode("utf-8", "replace")
