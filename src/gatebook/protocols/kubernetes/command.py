"""What passes between a client and a command in a container, whichever protocol carries it: five streams.

The client says stdin and resize, the command stdout, stderr and, at its end, error. What the command says is covered on its way
(``live.py``); what it is told passes as it is, and only a replay sees it covered. The last word, on error, is a ``Status`` in
JSON, which is covered whole.
"""

from __future__ import annotations

import json
from enum import StrEnum

from gatebook.errors import WireError
from gatebook.protocols.http.covering.messages import shown_message
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.kubernetes.live import LiveCover
from gatebook.protocols.kubernetes.typed import Typed
from gatebook.protocols.terminals import Kind, frame

SOON = 0.03  # seconds without output, after which a terminal's held text goes on: a person does not notice
LATER = 0.25  # the same for what is no terminal
STATUS_BYTES = 65_536
RESIZE_BYTES = 256  # of what tells a size
COUNTED = 1_048_576  # bytes that are not recorded, after which a replay is told of them at the latest
SHOWN_INPUT = 1_048_576  # bytes of what a command is fed that a replay shows; behind them they are counted
_SIDES = 65_535  # columns or lines


class Stream(StrEnum):
    """As Kubernetes calls them."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    ERROR = "error"
    RESIZE = "resize"


OF_CLIENT = (Stream.STDIN, Stream.RESIZE)
_KINDS = {Stream.STDOUT: Kind.OUTPUT, Stream.STDERR: Kind.ERRORS}


class Command:
    """Owned by one tunnel. ``tty``: its streams are a terminal's. Methods raise WireError for what nobody may say there."""

    def __init__(self, plan: Plan, *, tty: bool) -> None:
        self._plan, self._tty = plan, tty
        self._covers = {stream: LiveCover(plan, eager=tty) for stream in _KINDS}
        self._typed = Typed(plan)
        self._fed = LiveCover(plan, eager=False)
        self._fed_bytes = self._unseen = 0
        self._status = b""
        self._resize = ""
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
        held = self._status or self._typed.waits or self._fed.held or any(cover.held for cover in self._covers.values())
        return (SOON if self._tty else LATER) if held else 0.0

    def take_shown(self) -> bytes:
        """What a replay is to be told since the last time."""
        shown, self._shown = b"".join(self._shown), []
        return shown

    # The client ---------------------------------------------------------------------------------------------------------

    def said(self, stream: Stream, data: bytes) -> bytes:
        """The client says this; what the command is told."""
        if stream is Stream.RESIZE:
            return self._resized(data)
        if stream is not Stream.STDIN:
            raise WireError(f"a client that says something on {stream}")
        if self._tty:
            self._shown.append(self._typed.typed(data))
        else:
            self._feed(data)
        return data

    def said_all(self, stream: Stream) -> None:
        """The client says nothing more on it."""
        if stream is Stream.RESIZE and self._resize:
            raise WireError("a terminal's size that is not whole")
        if stream is Stream.STDIN:
            self._shown.append(self._typed.finish())
            self._input(self._fed.finish())
            self._count()
            self._shown.append(frame(Kind.CLOSED, stream.encode()))

    def _feed(self, data: bytes) -> None:
        """What a command is fed: shown while it is text, and not without end."""
        if self._fed_bytes < SHOWN_INPUT and b"\0" not in data:
            self._fed_bytes += len(data)
            self._input(self._fed.feed(data))
            return
        self._fed_bytes = SHOWN_INPUT
        self._input(self._fed.finish())
        self._unseen += len(data)
        if self._unseen >= COUNTED:
            self._count()

    def _input(self, data: bytes) -> None:
        if data:
            self._shown.append(frame(Kind.INPUT, data))

    def _count(self) -> None:
        """Say how much was fed that is not shown."""
        if self._unseen:
            self._shown.append(frame(Kind.UNSEEN, b"%d" % self._unseen))
            self._unseen = 0

    def _resized(self, data: bytes) -> bytes:
        """Sizes of a terminal, each told anew."""
        try:
            self._resize += data.decode("ascii")
        except UnicodeDecodeError:
            raise WireError("a terminal's size that is no JSON") from None
        out: list[bytes] = []
        while text := self._resize.lstrip():
            try:
                told, end = json.JSONDecoder().raw_decode(text)
            except (ValueError, RecursionError):
                break
            width, height = _size(told)
            self._resize = text[end:]
            self._shown.append(frame(Kind.RESIZE, b"%dx%d" % (width, height)))
            out.append(b'{"Width":%d,"Height":%d}\n' % (width, height))
        self._resize = self._resize.lstrip()
        if len(self._resize) > RESIZE_BYTES or self._resize[:1] not in ("", "{"):
            raise WireError("a terminal's size that is no JSON object, or a long one")
        return b"".join(out)

    # The command --------------------------------------------------------------------------------------------------------

    def told(self, stream: Stream, data: bytes) -> bytes:
        """The command says this; what the client is told now."""
        if stream is Stream.ERROR:
            return self._ending(data)
        if stream not in _KINDS:
            raise WireError(f"a target that says something on {stream}")
        echo = self._tty and self._typed.is_echo(data)
        out = self._out(stream, self._covers[stream].feed(data, at_once=echo))
        if self._tty:
            self._shown.append(self._typed.answered(data))
        return out

    def told_all(self, stream: Stream) -> bytes:
        """The command says nothing more on it; what was held back."""
        if stream in _KINDS:
            return self._out(stream, self._covers[stream].finish())
        return self._last_word() if stream is Stream.ERROR else b""

    def idle(self) -> list[tuple[Stream, bytes]]:
        """Nothing came for some time: what goes on now, by stream."""
        out = [(stream, self._out(stream, cover.idle())) for stream, cover in self._covers.items()]
        out.append((Stream.ERROR, self._last_word()))
        self._shown.append(self._typed.idle())
        self._input(self._fed.idle())
        return [(stream, data) for stream, data in out if data]

    def finish(self) -> list[tuple[Stream, bytes]]:
        """Nothing will come: the same for all that was held."""
        out = [(stream, self.told_all(stream)) for stream in (*_KINDS, Stream.ERROR)]
        self._shown.append(self._typed.finish())
        self._input(self._fed.finish())
        self._count()
        return [(stream, data) for stream, data in out if data]

    def _out(self, stream: Stream, data: bytes) -> bytes:
        if data:
            self._shown.append(frame(_KINDS[stream], data))
        return data

    def _ending(self, data: bytes) -> bytes:
        self._status += data
        if len(self._status) > STATUS_BYTES:
            raise WireError(f"a last word of more than {STATUS_BYTES} bytes")
        if not self._status.rstrip().endswith(b"}"):
            return b""
        try:
            json.loads(self._status)
        except (ValueError, RecursionError):
            return b""
        return self._last_word()

    def _last_word(self) -> bytes:
        if not self._status:
            return b""
        said, self._status = shown_message(self._status, self._plan, self._counts), b""
        self._shown.append(frame(Kind.STATUS, said))
        return said


def _size(told: object) -> tuple[int, int]:
    """Columns and lines. Names count in any case, as Go reads them."""
    if not isinstance(told, dict):
        raise WireError("a terminal's size that is no JSON object")
    found = {name.lower(): value for name, value in told.items()}
    width, height = found.get("width", 0), found.get("height", 0)
    if not all(type(one) is int and 0 <= one <= _SIDES for one in (width, height)):
        raise WireError("a terminal's size that is no size")
    return width, height


def failure(why: str, reason: str = "Forbidden", code: int = 403) -> bytes:
    """The last word of the gateway's own, as clients print it."""
    status = {"metadata": {}, "status": "Failure", "message": why, "reason": reason, "code": code}
    return json.dumps(status).encode()
