"""The streams of a command or terminal, whichever protocol carries them: what is said is covered, what is told recorded so.

What a command writes is covered on its way (``live.py``); what it is fed passes as it is, and only a replay sees it covered.
"""

from __future__ import annotations

from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.live import LiveCover
from gatebook.protocols.terminals import Kind, frame
from gatebook.protocols.typed import Typed

SOON = 0.03  # seconds after which held text of a terminal goes on: a person does not notice
LATER = 0.25  # the same for what is no terminal
COUNTED = 1_048_576  # bytes that are not recorded, after which a replay is told of them at the latest
SHOWN_INPUT = 1_048_576  # bytes of what a command is fed that a replay shows; behind them they are counted
SAID = (Kind.OUTPUT, Kind.ERRORS)


class Streams:
    """Owned by one channel or tunnel. ``tty``: the streams are a terminal's."""

    def __init__(self, plan: Plan, *, tty: bool) -> None:
        self._plan, self._tty = plan, tty
        self._covers = {kind: LiveCover(plan, eager=tty) for kind in SAID}
        self._typed = Typed(plan)
        self._fed = LiveCover(plan, eager=False)
        self._fed_bytes = self._unseen = 0
        self._counts: Counts = {}
        self._shown: list[bytes] = []

    @property
    def masked(self) -> Counts:
        """What the client did not get, by detector."""
        found = dict(self._counts)
        for cover in self._covers.values():
            for name, number in cover.masked.items():
                count(found, name, number)
        return found

    @property
    def waits(self) -> float:
        """Seconds without output after which ``idle`` is wanted, 0 where nothing is held."""
        held = self._typed.waits or self._fed.held or any(cover.held for cover in self._covers.values())
        return (SOON if self._tty else LATER) if held else 0.0

    def take_shown(self) -> bytes:
        """What a replay is to be told since the last time."""
        shown, self._shown = b"".join(self._shown), []
        return shown

    def show(self, kind: Kind, data: bytes) -> None:
        """A replay is to be told this."""
        self._shown.append(frame(kind, data))

    def fed(self, data: bytes) -> None:
        """The command is told this: shown while it is text, and not without end."""
        if self._tty:
            self._shown.append(self._typed.typed(data))
        elif self._fed_bytes < SHOWN_INPUT and b"\0" not in data:
            self._fed_bytes += len(data)
            self._input(self._fed.feed(data))
        else:
            self._fed_bytes = SHOWN_INPUT
            self._input(self._fed.finish())
            self._unseen += len(data)
            if self._unseen >= COUNTED:
                self._count()

    def fed_all(self) -> None:
        """It is told nothing more."""
        self._shown.append(self._typed.finish())
        self._input(self._fed.finish())
        self._count()
        self.show(Kind.CLOSED, b"stdin")

    def resized(self, columns: int, lines: int) -> None:
        """Its terminal has this size."""
        self.show(Kind.RESIZE, b"%dx%d" % (columns, lines))

    def said(self, kind: Kind, data: bytes) -> bytes:
        """The command says this; what the client is told now."""
        echo = self._tty and self._typed.is_echo(data)
        out = self._out(kind, self._covers[kind].feed(data, at_once=echo))
        if self._tty:
            self._shown.append(self._typed.answered(data))
        return out

    def said_all(self, kind: Kind) -> bytes:
        """The command says nothing more on it; what was held back."""
        return self._out(kind, self._covers[kind].finish())

    def idle(self) -> list[tuple[Kind, bytes]]:
        """Nothing came for some time: what goes on now, by stream."""
        out = [(kind, self._out(kind, cover.idle())) for kind, cover in self._covers.items()]
        self._shown.append(self._typed.idle())
        self._input(self._fed.idle())
        return [(kind, data) for kind, data in out if data]

    def finish(self) -> list[tuple[Kind, bytes]]:
        """Nothing will come: the same for all that was held."""
        out = [(kind, self.said_all(kind)) for kind in SAID]
        self._shown.append(self._typed.finish())
        self._input(self._fed.finish())
        self._count()
        return [(kind, data) for kind, data in out if data]

    def _input(self, data: bytes) -> None:
        if data:
            self.show(Kind.INPUT, data)

    def _count(self) -> None:
        """Say how much was fed that is not shown."""
        if self._unseen:
            self.show(Kind.UNSEEN, b"%d" % self._unseen)
            self._unseen = 0

    def _out(self, kind: Kind, data: bytes) -> bytes:
        if data:
            self.show(kind, data)
        return data
