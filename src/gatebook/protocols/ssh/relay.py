"""One channel of SSH that runs something: signals in, effects out, nothing else.

    Asking      the command is decided; what the client says meanwhile waits
    Running     messages pass, output covered; input that was not decided with the command asks for itself, once
    Feeding     that input is decided; the command runs on
    Over        its end was told; every signal gives nothing

What is refused never begins; input that is refused is not passed, and the command hears that there is none. What is covered is
held back a moment where it may be the beginning of something, so an end is told last: status and close behind all output.

What this file refuses to know: policy, time, the ledger, where the host is, how SSH writes any of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias, assert_never

from gatebook.model import Action, Deed, Permit
from gatebook.protocols.http.covering.plan import Plan, plan_of
from gatebook.protocols.relay import Allowed, Answered, Ask, Covering, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh import refusal
from gatebook.protocols.ssh.lines import Lines
from gatebook.protocols.ssh.messages import (
    Closed,
    Data,
    Eof,
    Errors,
    Exit,
    Killed,
    OfClient,
    OfTarget,
    Resize,
    Signal,
    Start,
    how_it_ended,
)
from gatebook.protocols.ssh.reading import Reading, read_line
from gatebook.protocols.streams import LATER, Streams
from gatebook.protocols.terminals import Kind

SHOWN_SECONDS = 1.0  # without output, after which nobody waits for a line to be shown
MASKED = (
    f"blocked by {refusal.NOT_PASSED}: what comes by this target's commands is covered, which rsync's own stream cannot be; "
    "fetch it by sftp or scp"
)
WAITING = 64  # messages of a client that wait for a decision; its driver stops reading at the first


@dataclass(frozen=True, slots=True)
class ClientSaid:
    """The client said this on its channel."""

    message: OfClient


@dataclass(frozen=True, slots=True)
class TargetSaid:
    """The host said this."""

    message: OfTarget


@dataclass(frozen=True, slots=True)
class Failed:
    """The host cannot be reached, or does not do what was permitted; ``why`` is fit for the client."""

    why: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for as long as ``waits`` says."""


SshSignal: TypeAlias = ClientSaid | TargetSaid | Allowed | Refused | Held | Failed | Idle | Ended


@dataclass(frozen=True, slots=True)
class Forward:
    """Have the host do this, by the authority of a permit."""

    permit: Permit
    message: Start | OfClient


@dataclass(frozen=True, slots=True)
class Record:
    """What a replay is told, covered; before anything of it goes to the client."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell the client this; it is covered already."""

    message: Data | Errors | Eof | Exit | Killed | Closed


SshEffect: TypeAlias = Ask | Forward | Record | Reply | Answered | Withdraw


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a channel: whose session it is, what covers its output, the credentials that must not come back."""

    session: str
    covering: Covering
    number: Callable[[], int]  # of the session's next action
    needles: Collection[bytes] = ()

    def __repr__(self) -> str:
        return f"Terms(session={self.session!r})"


class _State(Enum):
    ASKING = auto()
    RUNNING = auto()
    FEEDING = auto()
    OVER = auto()


class ChannelRelay:
    """Owned by one channel's driver. ``begin`` is called once, before any signal."""

    def __init__(self, terms: Terms, start: Start, reading: Reading, lines_as: str = "") -> None:
        """``lines_as`` is the user as whom lines are decided that are typed at its terminal, "" where they are not."""
        self._terms, self._start, self._reading = terms, start, reading
        self._state = _State.ASKING
        self._action = self._new_action(reading, reading.deeds)
        self._input: Action | None = None
        self._permit: Permit | None = None
        self._fed: Permit | None = None  # under which input passes
        self._deaf = self._said_all = False
        self._streams: Streams | None = None
        self._waiting: list[OfClient] = []
        self._end: Exit | Killed | None = None
        self._size = self._passed = 0
        self._user = lines_as
        self._lines = Lines(start.terminal.columns) if lines_as and start.terminal is not None else None
        self._line: Action | None = None
        self._line_gone = False  # what is asked about was interrupted
        self._turn = 0  # of the lines, when it was asked about

    @property
    def seq(self) -> int:
        """The number of its action."""
        return self._action.seq

    @property
    def hungry(self) -> bool:
        """Whether more of the client is of use now."""
        return self._state is _State.RUNNING and not (self._lines is not None and self._lines.full)

    @property
    def waits(self) -> float:
        """Seconds without output after which ``Idle`` is wanted, 0 where nothing is held."""
        if self._streams is None or self._state is _State.OVER:
            return 0.0
        if self._lines is not None and self._lines.waits and self._line is None:
            return SHOWN_SECONDS if self._lines.ended else LATER
        return self._streams.waits

    def begin(self) -> list[SshEffect]:
        """What the client wants is to be decided."""
        return [self._ask(self._action, self._reading.shown)]

    def feed(self, signal: SshSignal) -> list[SshEffect]:
        """Take one signal and say what is to be done about it, in order."""
        if self._state is _State.OVER:
            return []
        match signal:
            case ClientSaid(message):
                return self._client_said(message)
            case TargetSaid(message):
                return self._target_said(message)
            case Allowed():
                return self._allowed(signal)
            case Refused():
                return self._refused(signal)
            case Held():
                return [Reply(Errors((b"\r\n" if self._line is not None else b"") + refusal.held(signal)))]
            case Failed(why):
                return self._over("failed", Errors(refusal.line(why)), Exit(refusal.FAILED))
            case Idle():
                return [*self._flushed(last=False), *self._typed_on(Lines.idle)]
            case Ended():
                return self._ended(signal)
            case _:
                assert_never(signal)

    # Decisions ----------------------------------------------------------------------------------------------------------

    def _new_action(self, reading: Reading, deeds: tuple[Deed, ...]) -> Action:
        terms = self._terms
        return Action(session=terms.session, seq=terms.number(), deeds=deeds, text=reading.text, settings=reading.settings)

    def _ask(self, action: Action, shown: str) -> Ask:
        return Ask(action, frozenset(), shown, fault=self._reading.fault, seen=self._reading.seen)

    def _allowed(self, allowed: Allowed) -> list[SshEffect]:
        if self._line is not None and self._lines is not None:
            return self._line_allowed(self._lines, self._line, allowed.permit)
        if self._state is _State.ASKING:
            permit = allowed.permit
            if self._reading.opaque and permit.masks:
                return self._over("refused", Errors(refusal.line(MASKED)), Exit(refusal.STATUS))
            self._permit = permit
            self._streams = Streams(self._plan(permit), tty=self._start.terminal is not None)
            self._state = _State.RUNNING
            if self._reading.fed:
                self._fed = permit
            if self._start.terminal is not None:
                self._streams.resized(self._start.terminal.columns, self._start.terminal.lines)
            return [Forward(permit, self._start), *self._recorded(), *self._go_on()]
        self._state, self._fed = _State.RUNNING, allowed.permit
        return self._go_on()

    def _plan(self, permit: Permit) -> Plan:
        return plan_of(self._terms.covering, permit.masks, self._terms.needles)

    def _go_on(self) -> list[SshEffect]:
        """What the client said meanwhile."""
        waiting, self._waiting = self._waiting, []
        return [effect for message in waiting for effect in self._client_said(message)]

    def _refused(self, refused: Refused) -> list[SshEffect]:
        if self._state is _State.ASKING:
            words = Errors(refusal.refused(self._action, refused))
            self._state = _State.OVER
            return [Reply(words), Reply(Exit(refusal.STATUS)), Reply(Closed())]
        if self._line is not None and self._lines is not None:
            return self._line_refused(self._lines, self._line, refused)
        if self._input is None:
            raise AssertionError("input was refused that nobody asked for")
        told = Reply(Errors(refusal.refused(self._input, refused)))
        self._state, self._deaf, self._input = _State.RUNNING, True, None
        self._waiting.clear()
        return [told, *self._say_all()]

    # The client ---------------------------------------------------------------------------------------------------------

    def _client_said(self, message: OfClient) -> list[SshEffect]:
        if self._permit is None or self._streams is None:
            return self._keep(message)
        match message:
            case Data(data):
                return self._told(message, data)
            case Eof():
                return self._keep(message) if self._state is _State.FEEDING else self._say_all()
            case Resize(columns, lines):
                if self._lines is not None:
                    self._lines.screen.columns = columns
                self._streams.resized(columns, lines)
                return [*self._recorded(), Forward(self._permit, message)]
            case Signal():
                return [Forward(self._permit, message)]
            case _:
                assert_never(message)

    def _keep(self, message: OfClient) -> list[SshEffect]:
        """What the client says before it is decided. A size is the terminal's from its beginning; no signal has a process."""
        if isinstance(message, Resize) and self._start.terminal is not None:
            terminal = replace(self._start.terminal, columns=message.columns, lines=message.lines)
            self._start = replace(self._start, terminal=terminal)
            if self._lines is not None:
                self._lines.screen.columns = message.columns
        if isinstance(message, Resize | Signal):
            return []
        if len(self._waiting) >= WAITING:
            return self._over("failed", Errors(refusal.line("too much was said before it was decided")), Exit(refusal.FAILED))
        self._waiting.append(message)
        return []

    def _told(self, message: Data, data: bytes) -> list[SshEffect]:
        """Input: it passes under the permit that it has, or asks for one; what was refused once is dropped."""
        if self._deaf or self._said_all or not data:
            return []
        if self._state is _State.FEEDING:
            return self._keep(message)
        if self._fed is None:
            self._state = _State.FEEDING
            self._waiting.append(message)
            self._input = self._new_action(self._reading, self._reading.input)
            return [self._ask(self._input, f"(input of) {self._reading.shown}")]
        if self._lines is not None:
            return self._typed_on(lambda lines: lines.type(data))
        return self._passed_on(data, self._fed)

    def _passed_on(self, data: bytes, permit: Permit | None) -> list[SshEffect]:
        if not data or permit is None:
            return []
        if self._streams is not None:
            self._streams.fed(data)
        self._passed += len(data)
        return [*self._recorded(), Forward(permit, Data(data))]

    # Lines of a terminal ------------------------------------------------------------------------------------------------

    def _typed_on(self, step: Callable[[Lines], bytes]) -> list[SshEffect]:
        """What passes of what is typed, once something came; a line that has ended is asked about when it can be told."""
        lines = self._lines
        if lines is None or self._fed is None:
            return []
        effects = self._passed_on(step(lines), self._fed)
        if self._line is not None and lines.turn != self._turn and not self._line_gone:
            self._line_gone = True
            effects.append(Withdraw(self._line))
        while self._line is None and lines.ready:
            line = lines.line()
            if line.empty:
                effects += self._passed_on(lines.go(), self._fed)
                continue
            reading = read_line(line, self._start, self._user)
            self._line, self._turn = self._new_action(reading, reading.deeds), lines.turn
            effects.append(Ask(self._line, frozenset(), reading.shown, seen=reading.seen))
        return effects

    def _line_allowed(self, lines: Lines, action: Action, permit: Permit) -> list[SshEffect]:
        self._line = None
        if self._line_gone:
            self._line_gone = False
            return self._typed_on(lambda _: b"")
        passed = self._passed_on(lines.go(), permit)
        return [*passed, Answered(action, "passed", 0, 0, {}), *self._typed_on(lambda _: b"")]

    def _line_refused(self, lines: Lines, action: Action, refused: Refused) -> list[SshEffect]:
        self._line = None
        if self._line_gone:
            self._line_gone = False
            return self._typed_on(lambda _: b"")
        told = Reply(Errors(b"\r\n" + refusal.refused(action, refused)))
        return [told, *self._passed_on(lines.drop(), self._fed)]

    def _say_all(self) -> list[SshEffect]:
        """The command hears that no more input comes."""
        if self._said_all or self._permit is None or self._streams is None:
            return []
        self._said_all = True
        self._streams.fed_all()
        return [*self._recorded(), Forward(self._permit, Eof())]

    # The host -----------------------------------------------------------------------------------------------------------

    def _target_said(self, message: OfTarget) -> list[SshEffect]:
        if self._streams is None:
            return []
        match message:
            case Data(data):
                shown = self._shown(Data, self._streams.said(Kind.OUTPUT, data))
                return [*shown, *self._typed_on(lambda lines: lines.show(data))]
            case Errors(data):
                return self._shown(Errors, self._streams.said(Kind.ERRORS, data))
            case Eof():
                return [*self._flushed(last=True), Reply(message)]
            case Exit() | Killed():
                self._end = message
                return []
            case Closed():
                return self._over(how_it_ended(self._end), *([self._end] if self._end is not None else []))
            case _:
                assert_never(message)

    def _shown(self, made: type[Data] | type[Errors], data: bytes) -> list[SshEffect]:
        self._size += len(data)
        return [*self._recorded(), *([Reply(made(data))] if data else [])]

    def _flushed(self, *, last: bool) -> list[SshEffect]:
        """What was held back goes on."""
        if self._streams is None:
            return []
        rest = self._streams.finish() if last else self._streams.idle()
        self._size += sum(len(data) for _, data in rest)
        return [*self._recorded(), *(Reply(Data(data) if kind is Kind.OUTPUT else Errors(data)) for kind, data in rest)]

    def _recorded(self) -> list[SshEffect]:
        shown = self._streams.take_shown() if self._streams is not None else b""
        return [Record(self.seq, shown)] if shown else []

    # The end ------------------------------------------------------------------------------------------------------------

    def _ended(self, ended: Ended) -> list[SshEffect]:
        if ended.side == Side.CLIENT:
            asked = self._input if self._state is _State.FEEDING else self._action if self._permit is None else None
            asked = self._line if self._line is not None and not self._line_gone else asked
            withdrawn: list[SshEffect] = [Withdraw(asked)] if asked is not None else []
            return [*withdrawn, *self._over("the client went away")]
        return self._over("ended", Errors(refusal.line(ended.why)), Exit(refusal.STATUS))

    def _over(self, status: str, *words: Errors | Exit | Killed) -> list[SshEffect]:
        """All that was held, then how it ended. What never ran has no answer."""
        effects = self._flushed(last=True)
        self._state = _State.OVER
        if self._streams is not None:
            self._streams.show(Kind.STATUS, _last_word(self._end, status))
            effects += self._recorded()
        effects += [Reply(one) for one in words] + [Reply(Closed())]
        if self._permit is not None and self._streams is not None:
            effects.append(Answered(self._action, status, 0, self._size, self._streams.masked))
        if self._input is not None and self._fed is not None:
            effects.append(Answered(self._input, "passed", 0, self._passed, {}))
        return effects


def _last_word(end: Exit | Killed | None, status: str) -> bytes:
    """How a command ended, as a replay is told of it: in the form that Kubernetes has for that."""
    if end == Exit(0):
        return json.dumps({"status": "Success"}).encode()
    if isinstance(end, Exit):
        cause = {"reason": "ExitCode", "message": str(end.status)}
        return json.dumps({"status": "Failure", "message": status, "details": {"causes": [cause]}}).encode()
    return json.dumps({"status": "Failure", "message": status}).encode()
