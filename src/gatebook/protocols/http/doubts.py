"""What keeps a request from being understood, in words: gathered while it is read, told to rules as ``why_unknown``.

A *doubt* is something that another reader may take differently, or that was not read at all: a person may still say yes to it.
A *fault* is wrong by any reading; nobody is asked about it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gatebook.masking.detectors import cover_text

DOUBTS = 8  # that are told of one request
SHOWN = 80  # characters of what the client sent


@dataclass(slots=True)
class Doubts:
    """The doubts of one request, in the order in which they were found."""

    found: dict[str, None] = field(default_factory=dict)
    fault: str = ""

    def unsure(self, why: str) -> None:
        """Another reader may take it differently, or it was not read."""
        if len(self.found) < DOUBTS:
            self.found[why] = None

    def wrong(self, why: str) -> None:
        """It is wrong by any reading."""
        self.unsure(why)
        self.fault = self.fault or why

    def add(self, others: Doubts) -> None:
        """Those of a part of it."""
        for why in others.found:
            self.unsure(why)
        self.fault = self.fault or others.fault

    @property
    def why(self) -> str:
        """All of them as one line, or ``""``."""
        return "; ".join(self.found)


def quoted(text: str) -> str:
    """What a client sent, short, covered and harmless enough to stand in a sentence, which goes to logs and to the book."""
    return ascii(cover_text(text[:SHOWN])) + ("…" if len(text) > SHOWN else "")


def visible(text: str) -> str:
    """The text with everything escaped that a screen would hide, move or break a line at; line feeds stay."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(one if one == "\n" or one.isprintable() else ascii(one)[1:-1] for one in text)
