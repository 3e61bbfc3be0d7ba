"""How a client of SSH hears a refusal: one line on stderr, with what a program needs to go on, and exit status 77."""

from __future__ import annotations

import json
from typing import Any

from gatebook.model import Action
from gatebook.protocols.refused import explained, told
from gatebook.protocols.relay import Held, Refused

STATUS = 77  # EX_NOPERM of sysexits.h: a client tells it from what commands end with
NOT_PASSED = "not-passed-on"  # the rule's name of what the gateway passes on for nobody
FAILED = 74  # EX_IOERR: the command did not come to its end, or did not begin


def line(words: str, more: dict[str, Any] | None = None) -> bytes:
    """One line; whatever of it does not print is written out, so that it stays one and commands no terminal."""
    text = words + (f" {json.dumps(more, ensure_ascii=True)}" if more else "")
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f"gatebook: {plain}\r\n".encode("utf-8", "backslashreplace")


def refused(action: Action, said: Refused) -> bytes:
    """The refusal of an action: a sentence, and the rest as JSON behind it."""
    return line(told(action, said.verdict), explained(action, said))


def held(said: Held) -> bytes:
    """What is told while people are asked."""
    people = ", ".join(sorted(said.approvers))
    return line(f"held by {said.rule}: {said.reason}; waiting at most {said.seconds} s for {people}: {said.link}")
