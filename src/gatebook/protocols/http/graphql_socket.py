"""GraphQL over a WebSocket, message by message: what a client starts is decided like a POST before anything of it goes on.

Two subprotocols: ``graphql-transport-ws`` of the library graphql-ws, ``graphql-ws`` of the older subscriptions-transport-ws.
Nothing goes on as it came. Each message is read strictly and said anew with what is known of it: an operation has a number of
the gateway's own towards the target, so that an answer that is still on its way is never taken for that of another operation
under the same name; what a client says at the beginning (``connection_init``), often a credential, and in pings stays here.

What a client says behind an operation that is being decided waits, bounded. Answers are covered by the permit of their own
operation; what belongs to none, by every mask set that may hold.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import orjson

from gatebook.model import Action
from gatebook.protocols.http.contents import ABSENT, read_json
from gatebook.protocols.http.covering.messages import cover_message, shown_message
from gatebook.protocols.http.covering.plan import Counts, Plan
from gatebook.protocols.http.doubts import Doubts, quoted
from gatebook.protocols.http.forwarding import forwardable
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.tunnel import Moved, joined, marked
from gatebook.protocols.http.websocket import Binary, Close, Closing, Heard, Ping, Pong, Reader, SocketError, Text, Writer
from gatebook.protocols.relay import Answered

TRANSPORT, LEGACY = b"graphql-transport-ws", b"graphql-ws"
SUBPROTOCOLS: Final = frozenset({TRANSPORT, LEGACY})
OPERATIONS = 100  # of one connection under way
OPEN_BYTES = 1_048_576  # of what these asked, with variables; one alone may have more
ID_CHARACTERS = 256
FULL_BYTES = 65_536  # that wait for a decision, before the client is read no more
WAITING_BYTES = 2_097_152  # that wait for a decision, before the connection ends
FRAME_BYTES = 64  # that a message counts for besides what it says

_FIELD = b"sec-websocket-protocol"
_KEYS = frozenset({"id", "type", "payload"})
_RESULT = frozenset({"data", "errors", "extensions"})
_IN_PARTS = "its result comes in parts (@defer, @stream), and a rule covers fields, whose places nobody can tell then"
_OF_OPENING = (b"sec-websocket-", b"content-")  # how fields of it begin that say nothing of an operation
_DECODER = json.JSONDecoder()
_SPACE = " \t\n\r"


class Ending(IntEnum):
    """Why such a connection ends, as the subprotocol has it."""

    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    TWICE = 4409
    TOO_MANY_BEGINNINGS = 4429
    INTERNAL = 4500


class _EndError(Exception):
    """It cannot go on."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def offered(request: Request) -> bool:
    """Whether a client offers these subprotocols, and no other that its target could choose."""
    names = [name.strip(b" \t") for value in request.all(_FIELD) for name in value.split(b",")]
    return bool(names) and SUBPROTOCOLS.issuperset(names)


def posted(opening: Request) -> Request:
    """The head under which an operation is decided: that of the same by POST."""
    kept = tuple(one for one in forwardable(opening.fields) if not one[0].startswith(_OF_OPENING))
    return Request("POST", opening.scheme, opening.authority, opening.target, (*kept, (b"content-type", b"application/json")))


@dataclass(frozen=True, slots=True)
class Said:
    """A message. ``payload`` is the text of what it carries, b"" where that is nothing; ``names`` are those of its members."""

    type: str
    id: str
    payload: bytes
    names: frozenset[str] = frozenset()


def read(data: bytes) -> Said:
    """A message of either side. Raises ValueError, with why, for what is none that everybody reads alike."""
    doubts = Doubts()
    value = read_json(data, doubts)
    if value is ABSENT:
        raise ValueError(doubts.why.replace("its content", "a message").replace("its JSON", "a message"))
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ValueError("a message is an object with a type")
    named = value.get("id")
    if named is not None and not (isinstance(named, str) and 0 < len(named) <= ID_CHARACTERS):
        raise ValueError(f"the id of an operation is a text of up to {ID_CHARACTERS} characters")
    if strange := sorted(value.keys() - _KEYS):
        raise ValueError(f"a message has {quoted(strange[0])}, which is not one of its names")
    carried = value.get("payload")
    payload = _raw(data.decode(), "payload") if carried is not None else b""
    return Said(value["type"], named or "", payload, frozenset(carried) if isinstance(carried, dict) else frozenset())


def _raw(text: str, wanted: str) -> bytes:
    """The text of a member of an object that was read already."""
    at = _past(text, 0) + 1
    while True:
        name, at = _DECODER.raw_decode(text, _past(text, at))
        begin = _past(text, _past(text, at) + 1)
        _, at = _DECODER.raw_decode(text, begin)
        if name == wanted:
            return text[begin:at].encode()
        at = _past(text, at) + 1


def _past(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def message(kind: str, named: str = "", payload: bytes = b"") -> bytes:
    """It, written anew."""
    parts = [b'"id":' + json.dumps(named).encode()] if named else []
    parts.append(b'"type":' + json.dumps(kind).encode())
    if payload:
        parts.append(b'"payload":' + payload)
    return b"{" + b",".join(parts) + b"}"


@dataclass(slots=True)
class _Operation:
    """One that goes on; ``id`` is its client's name for it, ``asked`` how many bytes it has."""

    id: str
    action: Action
    plan: Plan
    asked: int
    masked: Counts = field(default_factory=dict)
    size: int = 0

    def ended(self, status: str) -> Answered:
        return Answered(self.action, status, 0, self.size, self.masked)


class Conversation:
    """Owned by one exchange. ``opening`` is the request that asked for it, ``chosen`` the subprotocol that the target chose.

    Where a ``Moved`` asks for a decision, nothing more of the client is passed on before ``allowed`` or ``refused`` was called.
    """

    def __init__(self, opening: Request, chosen: bytes, plan: Plan, keys: Callable[[], bytes]) -> None:
        self._posted, self._plan = posted(opening), plan
        self._older = chosen == LEGACY
        self._client, self._target = Reader(of_client=True), Reader(of_client=False)
        self._to_client, self._to_target = Writer(), Writer(keys)
        self._waiting: deque[Heard] = deque()
        self._waiting_bytes = 0
        self._asked = ""  # the id of what is being decided
        self._open: dict[str, _Operation] = {}  # by our own names for them
        self._begun = self._acknowledged = self._over = False
        self.masked: Counts = {}
        self.size = 0

    # What a passage is ----------------------------------------------------------------------------------------------------

    @property
    def waits(self) -> float:
        """Nothing is held back: a message is a whole."""
        return 0.0

    @property
    def full(self) -> bool:
        """Whether as much waits for a decision as is read from a client."""
        return self._waiting_bytes >= FULL_BYTES

    def idle(self) -> Moved:
        """What waits goes on, where nothing is being decided."""
        return Moved(over=True) if self._over else self._go_on()

    def ended(self) -> Moved:
        """A message that is not whole is none."""
        return self._gone(Moved(), "cut")

    def stop(self, why: str) -> Moved:
        """The gateway ends it."""
        return self._end(Closing.POLICY, why)

    def from_client(self, data: bytes) -> Moved:
        """Bytes of the client."""
        if self._over:
            return Moved(over=True)
        try:
            heard = self._client.feed(data)
        except SocketError as error:
            return self._end(error.closing, str(error))
        for one in heard:
            if isinstance(one, Close) and self._asked:  # whoever is gone waits for nothing
                self._waiting.clear()
                return self._end(Closing.NORMAL, "")
            self._waiting.append(one)
            self._waiting_bytes += _weight(one)
        moved = self._go_on()
        if self._waiting_bytes > WAITING_BYTES:
            return moved.then(self._end(Ending.BAD_REQUEST, "too much was said before it was decided"))
        return moved

    # Decisions ------------------------------------------------------------------------------------------------------------

    def allowed(self, action: Action, content: bytes, plan: Plan) -> Moved:
        """What was asked for may go as this content; ``plan`` covers what is answered to it."""
        named, self._asked = self._asked, ""
        ours = str(action.seq)
        self._open[ours] = _Operation(named, action, plan, len(content))
        return Moved(to_target=self._tell_target(message("start" if self._older else "subscribe", ours, content)))

    def refused(self, told: str, more: dict[str, Any]) -> Moved:
        """What was asked for does not go."""
        named, self._asked = self._asked, ""
        return self._deny(named, told, more)

    def _deny(self, named: str, told: str, more: dict[str, Any]) -> Moved:
        error = {"message": told, "extensions": {"gatebook": more}}
        payload = orjson.dumps(error if self._older else [error], default=str)
        return self._tell_client(message("error", named, payload))

    # The client -----------------------------------------------------------------------------------------------------------

    def _go_on(self) -> Moved:
        """All that waits, up to the next thing that is to be decided."""
        done: list[Moved] = []
        while self._waiting and not self._asked and not self._over:
            one = self._waiting.popleft()
            self._waiting_bytes -= _weight(one)
            try:
                done.append(self._heard(one))
            except _EndError as error:
                done.append(self._end(error.code, str(error)))
        return joined(done)

    def _heard(self, one: Heard) -> Moved:
        match one:
            case Text(data):
                return self._client_said(data)
            case Binary():
                raise _EndError(Ending.BAD_REQUEST, "a message of GraphQL is text")
            case Close():
                return self._both_closed(Moved(to_target=self._to_target.say(one) if not self._to_target.closed else b""))
            case Ping() | Pong():
                return Moved(to_target=self._to_target.say(one) if not self._to_target.closed else b"")

    def _client_said(self, data: bytes) -> Moved:
        try:
            said = read(data)
        except ValueError as error:
            raise _EndError(Ending.BAD_REQUEST, str(error)) from None
        moved = self._known(said)
        mark = marked(b"> ", shown_message(message(said.type, said.id, self._kept(said)), self._plan, {}))
        return Moved(moved.to_target, moved.to_client, mark + moved.shown, moved.over, moved.asks, moved.answered)

    def _kept(self, said: Said) -> bytes:
        """As much of what it carries as anybody reads."""
        return said.payload if said.type in ("subscribe", "start") else b""

    def _known(self, said: Said) -> Moved:
        match (said.type, self._older):
            case ("connection_init", _):
                if self._begun:
                    raise _EndError(Ending.TOO_MANY_BEGINNINGS, "Too many initialisation requests")
                self._begun = True
                return Moved(to_target=self._tell_target(message("connection_init")))
            case ("ping" | "pong", False):
                return Moved(to_target=self._tell_target(message(said.type)))
            case ("subscribe", False) | ("start", True):
                return self._start(said)
            case ("complete", False) | ("stop", True):
                return self._stop(said)
            case ("connection_terminate", True):
                return Moved(to_target=self._tell_target(message(said.type)))
        raise _EndError(Ending.BAD_REQUEST, f"a message of the type {quoted(said.type)}, which is not known")

    def _start(self, said: Said) -> Moved:
        """Clients of the older subprotocol do not wait for the target's word, only for their own."""
        if not (self._begun if self._older else self._acknowledged):
            raise _EndError(Ending.UNAUTHORIZED, "Unauthorized")
        if not said.id or not said.payload.startswith(b"{"):
            raise _EndError(Ending.BAD_REQUEST, "an operation has an id and an object as its payload")
        if any(one.id == said.id for one in self._open.values()):
            raise _EndError(Ending.TWICE, f"Subscriber for {quoted(said.id)} already exists")
        if len(self._open) >= OPERATIONS or (
            self._open and sum(one.asked for one in self._open.values()) + len(said.payload) > OPEN_BYTES
        ):
            told = f"more than {OPERATIONS} operations of one connection are under way, or {OPEN_BYTES:,} bytes of them"
            return self._deny(said.id, told, {"class": "fix", "instead": "Complete some, or open another connection."})
        self._asked = said.id
        return Moved(asks=(self._posted, said.payload))

    def _stop(self, said: Said) -> Moved:
        """What has ended meanwhile, or was refused, need not be ended."""
        if not said.id:
            raise _EndError(Ending.BAD_REQUEST, "what is to end has an id")
        for ours, one in self._open.items():
            if one.id == said.id:
                del self._open[ours]
                told = self._tell_target(message(said.type, ours))
                return Moved(to_target=told, answered=(one.ended("ended by the client"),))
        return Moved()

    # The target -----------------------------------------------------------------------------------------------------------

    def from_target(self, data: bytes) -> Moved:
        """Bytes of the target. Raises WireError for what cannot be covered."""
        if self._over:
            return Moved(over=True)
        try:
            heard = self._target.feed(data)
        except SocketError as error:
            return self._end(error.closing, "the target's frames cannot be passed on")
        done: list[Moved] = []
        for one in heard:
            if self._over:
                break
            done.append(self._target_heard(one))
        return joined(done)

    def _target_heard(self, one: Heard) -> Moved:
        match one:
            case Text(data):
                try:
                    return self._target_said(read(data))
                except ValueError:
                    return self._end(Ending.INTERNAL, "the target's messages cannot be read")
            case Binary():
                return self._end(Closing.UNSUPPORTED, "the target says what is no text")
            case Ping(data) | Pong(data):
                if self._plan.looked(data, self.masked, b"") != data:
                    one = type(one)(b"")
                return self._sent(one)
            case Close(code, reason):
                return self._both_closed(
                    self._sent(Close(code, self._plan.looked(reason, self.masked, b"") if reason else b""))
                )

    def _target_said(self, said: Said) -> Moved:
        match (said.type, self._older):
            case ("connection_ack", _) | ("connection_error", True):
                self._acknowledged = self._acknowledged or (self._begun and said.type == "connection_ack")
                payload = cover_message(said.payload, self._plan, self.masked) if said.payload else b""
                return self._tell_client(message(said.type, "", payload))
            case ("ping" | "pong", False) | ("ka", True):
                return self._tell_client(message(said.type))
            case ("next", False) | ("data", True) | ("error" | "complete", _):
                return self._answered(said)
        raise ValueError("a message of a type that is not known")

    def _answered(self, said: Said) -> Moved:
        """What is said of an operation that has ended here is nobody's any more."""
        operation = self._open.get(said.id)
        if operation is None:
            return Moved()
        if said.type in ("next", "data") and operation.plan.rules_fields and not said.names <= _RESULT:
            del self._open[said.id]
            told = self._tell_target(message("stop" if self._older else "complete", said.id))
            ended = Moved(to_target=told, answered=(operation.ended("cut"),))
            return ended.then(self._deny(operation.id, _IN_PARTS, {"class": "fix", "instead": "Ask for all of it at once."}))
        payload = cover_message(said.payload, operation.plan, operation.masked) if said.payload else b""
        operation.size += len(payload)
        moved = self._tell_client(message(said.type, operation.id, payload))
        if said.type in ("next", "data"):
            return moved
        del self._open[said.id]
        return moved.then(Moved(answered=(operation.ended(said.type),)))

    # Both -----------------------------------------------------------------------------------------------------------------

    def _tell_target(self, data: bytes) -> bytes:
        return b"" if self._to_target.closed else self._to_target.say(Text(data))

    def _tell_client(self, data: bytes) -> Moved:
        return self._sent(Text(data), marked(b"< ", data))

    def _sent(self, one: Heard, shown: bytes = b"") -> Moved:
        if self._to_client.closed:
            return Moved()
        frame = self._to_client.say(one)
        self.size += len(frame)
        return Moved(to_client=frame, shown=shown)

    def _both_closed(self, moved: Moved) -> Moved:
        if self._client.closed and self._target.closed:
            return self._gone(Moved(moved.to_target, moved.to_client, moved.shown, over=True), "closed")
        return moved

    def _end(self, code: int, why: str) -> Moved:
        """Both sides hear that it ends, as far as they can."""
        to_client = b"" if self._to_client.closed else self._to_client.say(Close(code, why.encode()))
        to_target = b"" if self._to_target.closed else self._to_target.say(Close(Closing.GOING_AWAY))
        return self._gone(Moved(to_target, to_client, over=True), "cut")

    def _gone(self, moved: Moved, status: str) -> Moved:
        self._over, self._asked = True, ""
        self._waiting.clear()
        return moved.then(Moved(answered=self.left(status), over=moved.over))

    def left(self, status: str) -> tuple[Answered, ...]:
        """What is under way ends, with all else."""
        self._over = True
        ended = tuple(one.ended(status) for one in self._open.values())
        self._open.clear()
        return ended


def _weight(one: Heard) -> int:
    return FRAME_BYTES + (len(one.reason) if isinstance(one, Close) else len(one.data))
