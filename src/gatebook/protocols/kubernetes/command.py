"""What passes between a client and a command in a container, whichever protocol carries it: five streams.

The client says stdin and resize, the command stdout, stderr and, at its end, error. What passes is covered and shown by
``protocols/streams.py``. The last word, on error, is a ``Status`` in JSON, which is covered whole.
"""

from __future__ import annotations

import json
from enum import StrEnum

from gatebook.errors import WireError
from gatebook.protocols.http.covering.messages import shown_message
from gatebook.protocols.http.covering.plan import Counts, Plan, count
from gatebook.protocols.streams import LATER, SOON, Streams
from gatebook.protocols.terminals import Kind

STATUS_BYTES = 65_536
RESIZE_BYTES = 256  # of what tells a size
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
_STREAMS = {kind: stream for stream, kind in _KINDS.items()}


class Command:
    """Owned by one tunnel. ``tty``: its streams are a terminal's. Methods raise WireError for what nobody may say there."""

    def __init__(self, plan: Plan, *, tty: bool) -> None:
        self._plan, self._tty = plan, tty
        self._streams = Streams(plan, tty=tty)
        self._status = b""
        self._resize = ""
        self._counts: Counts = {}

    @property
    def masked(self) -> Counts:
        """What the client did not get, by detector."""
        found = self._streams.masked
        for name, number in self._counts.items():
            count(found, name, number)
        return found

    @property
    def waits(self) -> float:
        """Seconds without output after which ``idle`` is wanted, 0 where nothing is held."""
        return (SOON if self._tty else LATER) if self._status else self._streams.waits

    def take_shown(self) -> bytes:
        """What a replay is to be told since the last time."""
        return self._streams.take_shown()

    # The client ---------------------------------------------------------------------------------------------------------

    def said(self, stream: Stream, data: bytes) -> bytes:
        """The client says this; what the command is told."""
        if stream is Stream.RESIZE:
            return self._resized(data)
        if stream is not Stream.STDIN:
            raise WireError(f"a client that says something on {stream}")
        self._streams.fed(data)
        return data

    def said_all(self, stream: Stream) -> None:
        """The client says nothing more on it."""
        if stream is Stream.RESIZE and self._resize:
            raise WireError("a terminal's size that is not whole")
        if stream is Stream.STDIN:
            self._streams.fed_all()

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
            self._streams.resized(width, height)
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
        return self._streams.said(_KINDS[stream], data)

    def told_all(self, stream: Stream) -> bytes:
        """The command says nothing more on it; what was held back."""
        if stream in _KINDS:
            return self._streams.said_all(_KINDS[stream])
        return self._last_word() if stream is Stream.ERROR else b""

    def idle(self) -> list[tuple[Stream, bytes]]:
        """Nothing came for some time: what goes on now, by stream."""
        return self._with_last_word(self._streams.idle())

    def finish(self) -> list[tuple[Stream, bytes]]:
        """Nothing will come: the same for all that was held."""
        return self._with_last_word(self._streams.finish())

    def _with_last_word(self, rest: list[tuple[Kind, bytes]]) -> list[tuple[Stream, bytes]]:
        last = self._last_word()
        return [(_STREAMS[kind], data) for kind, data in rest] + ([(Stream.ERROR, last)] if last else [])

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
        self._streams.show(Kind.STATUS, said)
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
