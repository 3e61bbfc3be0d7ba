"""Messages that come whole: data of an event, messages of a WebSocket. JSON is covered as JSON, anything else as text.

Where a rule names fields, text that is no JSON may hold any of them. Only a word of a few letters, as ``ping`` or ``[DONE]``,
may pass there.
"""

from __future__ import annotations

import re

from gatebook.errors import WireError
from gatebook.protocols.http.covering.json_cover import JsonCover
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.http.covering.text import TextCover

_BEGINS = re.compile(rb"[\s\xef\xbb\xbf]*+[\[{\"0-9tfn-]")
_WORD = re.compile(rb"\s*\[?[A-Za-z_]{0,16}\]?\s*")


def cover_message(data: bytes, plan: Plan, masked: Counts) -> bytes:
    """A whole message, covered. Raises WireError for one that cannot be read and might hold what a rule covers."""
    found = _BEGINS.match(data)
    if found:
        document = JsonCover(plan)
        try:
            out = document.feed(data) + document.finish()
        except WireError:
            pass
        else:
            _add(document.masked, masked)
            return out
    if plan.rules_fields and not _WORD.fullmatch(data):
        raise WireError("a message that is no JSON, where a rule covers fields")
    text = TextCover(plan)
    out = text.feed(data) + text.finish()
    _add(text.masked, masked)
    return out


def shown_message(data: bytes, plan: Plan, masked: Counts) -> bytes:
    """A message for a log, whatever it is."""
    try:
        return cover_message(data, plan, masked)
    except WireError:
        return b"<unread>"


def _add(found: Counts, masked: Counts) -> None:
    for name, number in found.items():
        count(masked, name, number)


class MessageCover:
    """Covers the messages of one WebSocket in one direction. ``binary`` says whether those that are no text may pass unread."""

    def __init__(self, plan: Plan, *, binary: bool = False) -> None:
        self.masked: Counts = {}
        self._plan = plan
        self._binary = binary

    def cover(self, data: bytes, *, text: bool) -> bytes:
        """A whole message, covered. Raises WireError; then the connection must end."""
        if not self._plan.reads:
            return data
        if text:
            try:
                data.decode()
            except UnicodeDecodeError:
                raise WireError("a text message that is not UTF-8") from None
        elif not self._binary:
            raise WireError("a binary message cannot be read here; let the target's `passes` list application/octet-stream")
        needles = self._plan.needles
        if needles:
            data = needles.cover(data, self.masked, same_length=not text)
        return cover_message(data, self._plan, self.masked) if text else data
