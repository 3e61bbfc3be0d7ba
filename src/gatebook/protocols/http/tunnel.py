"""A WebSocket that was opened: messages from side to side, text covered on its way to the client.

Every frame is taken apart and built anew. A text message goes to the client as its answer's permit says; a binary one cannot be
read, so that where anything must be covered, it passes only where the target's configuration says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from gatebook.protocols.http.covering.media import media_type, meets
from gatebook.protocols.http.covering.messages import cover_message, shown_message
from gatebook.protocols.http.covering.needles import NeedleFilter
from gatebook.protocols.http.covering.plan import Counts, Plan
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.websocket import Binary, Close, Closing, Heard, Ping, Pong, Reader, SocketError, Text, Writer
from gatebook.protocols.relay import Answered

_BINARY = media_type(b"application/octet-stream")
_UNREAD = b"binary messages cannot be read here, and the target's `passes` does not list application/octet-stream"


@dataclass(frozen=True, slots=True)
class Moved:
    """What goes to either side, and what a replay shows of it. ``over``: nothing more follows from the side that said it.

    ``asks`` is a request with its content that is to be decided before more of the client is passed on, ``answered`` how those
    ended that were.
    """

    to_target: bytes = b""
    to_client: bytes = b""
    shown: bytes = b""
    over: bool = False
    asks: tuple[Request, bytes] | None = None
    answered: tuple[Answered, ...] = ()

    def then(self, other: Moved) -> Moved:
        """Both, one behind the other."""
        return joined((self, other))


def joined(moves: Collection[Moved]) -> Moved:
    """All of them, one behind the other."""
    return Moved(
        b"".join(one.to_target for one in moves),
        b"".join(one.to_client for one in moves),
        b"".join(one.shown for one in moves),
        any(one.over for one in moves),
        next((one.asks for one in moves if one.asks is not None), None),
        tuple(answered for one in moves for answered in one.answered),
    )


class Tunnel:
    """Owned by one exchange. ``keys`` gives four bytes that nobody could foresee, for each frame to the target."""

    def __init__(self, plan: Plan, passes: Collection[str], keys: Callable[[], bytes]) -> None:
        self._plan = plan
        self._passes = not plan.reads or meets(_BINARY, passes)
        self._client, self._target = Reader(of_client=True), Reader(of_client=False)
        self._to_client, self._to_target = Writer(), Writer(keys)
        self._needles = NeedleFilter(plan.needles, same_length=True)
        self.masked: Counts = {}
        self.size = 0

    def ended(self) -> Moved:
        """A message that is not whole is none."""
        return Moved()

    def stop(self, why: str) -> Moved:
        """The gateway ends it."""
        return self._end(Closing.POLICY, why.encode())

    @property
    def waits(self) -> float:
        """Nothing is held back: a message is a whole."""
        return 0.0

    def idle(self) -> Moved:
        """Nothing."""
        return Moved()

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        try:
            heard = self._client.feed(data)
        except SocketError as error:
            return self._end(error.closing, str(error).encode())
        told, shown, seen = [], [], dict[str, int]()
        for one in heard:
            told.append(self._to_target.say(one))
            shown.append(self._shown(one, seen))
        return Moved(to_target=b"".join(told), shown=b"".join(shown), over=self._client.closed and self._target.closed)

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target."""
        try:
            heard = self._target.feed(data)
        except SocketError as error:
            return self._end(error.closing, b"the target's frames cannot be passed on")
        told, shown = [], []
        for one in heard:
            if isinstance(one, Text):
                one = Text(cover_message(one.data, self._plan, self.masked))
            elif isinstance(one, Binary):
                if not self._passes:
                    return self._end(Closing.UNSUPPORTED, _UNREAD)
                one = self._filtered(one)
            elif isinstance(one, Ping | Pong) and self._plan.looked(one.data, self.masked, b"") != one.data:
                one = type(one)(b"")
            elif isinstance(one, Close) and one.reason:
                one = Close(one.code, self._plan.looked(one.reason, self.masked, b""))
            frame = self._to_client.say(one)
            self.size += len(frame)
            told.append(frame)
            shown.append(_marked(b"< ", one, one.data if isinstance(one, Text) else b""))
        return Moved(to_client=b"".join(told), shown=b"".join(shown), over=self._client.closed and self._target.closed)

    def _filtered(self, one: Binary) -> Binary:
        """Some of a binary message, without the gateway's credential."""
        if not self._plan.needles:
            return one
        data = self._needles.feed(one.data)
        if one.last:
            data += self._needles.finish()
        return Binary(data, one.last)

    def _shown(self, one: Heard, seen: Counts) -> bytes:
        """What a client said, covered: nobody but the target needs it as it was."""
        return _marked(b"> ", one, shown_message(one.data, self._plan, seen) if isinstance(one, Text) else b"")

    def _end(self, code: Closing, why: bytes) -> Moved:
        """Both sides hear that it ends, as far as they can."""
        said = Close(code, why)
        to_client = b"" if self._to_client.closed else self._to_client.say(said)
        to_target = b"" if self._to_target.closed else self._to_target.say(Close(Closing.GOING_AWAY))
        return Moved(to_target, to_client, over=True)


def _marked(mark: bytes, one: Heard, text: bytes) -> bytes:
    """A message as a replay shows it: each of its lines says whose it is, so that none passes for the other side's."""
    if isinstance(one, Binary):
        text = b"(%d bytes that are no text)" % len(one.data)
    elif not isinstance(one, Text):
        return b""
    return marked(mark, text)


def marked(mark: bytes, text: bytes) -> bytes:
    """Text with a mark before each of its lines."""
    return b"".join(mark + line + b"\n" for line in text.split(b"\n"))
