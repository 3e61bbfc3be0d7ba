"""The plain way of a relay in compiled code: a whole request that came before, and the whole answer to it, in a call each.

Beside the relay stands a lane (``native/src/lane.rs``). While the relay rests (nothing is asked for, sent or half read; no
transaction, no portal), a request goes by the lane if it came before, byte for byte but for the values of its parameters or
those of its numbers that may vary; if all that it means is what it meant then (the same ``Prepared``, settings, and version
of the catalog); and if its values need no look (``Lane.request``). Its driver has it decided and written down; only then the
lane gives out the bytes (``sends``). The answer goes by the lane if it comes whole in one read, described as it was before,
and ends as a SELECT outside of a transaction does.

Everything else is the relay's: before it is fed any signal it takes over what is on its way (``give_back``), as if it had
sent it itself, and the bytes it is fed are untouched. So the effects are those of ``relay_plain.py``, which is the twin of
this: without the compiled twin there is no lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gatebook.model import Action, Permit
from gatebook.protocols.postgres import native, wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.asked import kept_plain
from gatebook.protocols.postgres.expected import Prepared
from gatebook.protocols.postgres.meaning import Meaning
from gatebook.protocols.postgres.reading import Reading
from gatebook.protocols.postgres.relay_asking import Asking
from gatebook.protocols.postgres.relay_plain import Went
from gatebook.protocols.postgres.rows import RowCover
from gatebook.protocols.postgres.statement import fixed_numbers
from gatebook.protocols.postgres.templates import PLAIN

KEPT = 256  # requests that a session's lane knows; one that has more begins anew
ANSWER_BYTES = 16_383  # of an answer in one read; larger ones are compressed in the recording, and have time

# What is the same each time of an action's entry, of its answer's, and of the recorded request: the pieces between what is not.
Entries = tuple[list[bytes], list[bytes], list[bytes]]


class Kept(NamedTuple):
    """A plain request that was answered, and what must be so for it to be the same when it comes again.

    ``prepared`` is None for a Query. ``fixed`` are the places of those numbers of its text that may not vary, None where it is
    known as it is. ``shown`` is its text as the log shows it, without values; None: the text itself.
    """

    reading: Reading
    meaning: Meaning
    masks: frozenset[str]
    prepared: Prepared | None
    name: str
    fixed: tuple[int, ...] | None
    shown: str | None
    described: bytes
    cover: RowCover


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent by the lane: the client's bytes, and what they are called."""

    data: bytes
    seq: int
    decision: str


class Lane:
    """Owned by one relay. ``offer`` is a request that could go by the lane when it comes again, once its driver keeps it."""

    def __init__(self, asking: Asking, answers: Answers, frames: tuple[wire.Frames, wire.Frames]) -> None:
        self._asking, self._answers, self._frames = asking, answers, frames
        self._rests = False
        self._version = -1
        self._seen: set[str] = set()
        self._count = 0
        self.taken = 0  # requests so far
        self.offer: Kept | None = None
        self.way: Any = None  # of the crate

    def settle(self, *, is_open: bool) -> None:
        """The relay has taken a signal: see whether it rests now, and what could go by the lane from here on."""
        asking, answers = self._asking, self._answers
        self._rests = is_open and asking.rests and not any(map(len, self._frames))
        if answers.catalog.version != self._version:
            self._version, self._count = answers.catalog.version, 0
            if self.way is not None:
                self.way.forget()
        if self._rests and asking.went is not None:
            went, asking.went = asking.went, None
            self.offer = self._kept(went)

    def _kept(self, went: Went) -> Kept | None:
        """What went the plain way and was answered, if it may go by the lane."""
        meaning, running, portal = went.meaning, went.running, went.portal
        reading, answers = running.reading, self._answers
        described = portal.described if portal is not None else running.described
        if not described or meaning.version != self._version or not running.status.startswith("SELECT ") or meaning.touches:
            return None
        name, prepared = "", portal.prepared if portal is not None else None
        if prepared is not None:
            name = next((name for name, one in answers.prepared.items() if one is prepared), "\0")
            if answers.prepared.get(name) is not prepared:
                return None
        fixed = fixed_numbers(reading) if prepared is None else None
        if fixed is None and not self._again(f"{len(name)} {name}{reading.text}"):
            return None
        shown = kept_plain(reading.text, answers.detectors) if fixed is None else None
        if fixed is None and (shown is None or not shown.isascii()):
            return None
        cover = answers.cover_again(described, reading, running.permit.masks)
        if not cover.runs:
            return None
        return Kept(reading, meaning, running.permit.masks, prepared, name, fixed, shown, described, cover)

    def _again(self, key: str) -> bool:
        """Whether it came before: what comes once is not worth the work."""
        if key in self._seen:
            return True
        if len(self._seen) >= KEPT:
            self._seen.clear()
        if len(key) <= wire.NAME_BYTES + native.LANE_CHARACTERS:
            self._seen.add(key)
        return False

    def keep(self, kept: Kept, ticket: object, salt: bytes, entries: Entries) -> None:
        """Let a request go by the lane from now on; ``ticket`` is what ``request`` gives for it."""
        if self.way is None:
            self.way = native.lane(self._answers.detectors, PLAIN)
        if self._count >= KEPT:
            self.way.forget()
            self._count = 0
        self._count += 1
        name = kept.name.encode() if kept.prepared is not None else None
        shown = kept.shown.encode() if kept.shown is not None else None
        fixed = list(kept.fixed) if kept.fixed is not None else None
        text = kept.reading.text.encode()
        self.way.keep(ticket, name, text, fixed, shown, salt, entries, kept.described, kept.cover.compiled)

    # One request -----------------------------------------------------------------------------------------------------

    def request(self, data: bytes) -> Any:
        """The ticket of the request that these bytes are, whole and alone; None where the relay must take them.

        It is on its way from then on, until it is answered, dropped or given back.
        """
        if not self._rests or self.way is None:
            return None
        ticket = self.way.request(data)
        if ticket is None:
            return None
        prepared = ticket.kept.prepared
        if prepared is not None:
            known = self._answers.prepared.get(ticket.kept.name)
            if known is None or known is not prepared or known.settings != self._answers.catalog.settings:
                self.way.drop()
                return None
        return ticket

    @property
    def next_number(self) -> int:
        """The number of the action that the request is, once it ``took`` it."""
        return self._asking.seq + 1

    def took(self) -> None:
        """The request is in the book, and takes its number."""
        self._asking.number()
        self.taken += 1

    def give_back(self, kept: Kept, sent: Sent, permit: Callable[[Action], Permit]) -> Action:
        """The relay takes over what was sent: its answer is for the relay to read."""
        self.way.drop()
        self._rests = False
        return self._asking.sent_by_lane(kept.reading, kept.meaning, kept.prepared, sent.data, sent.seq, sent.decision, permit)
