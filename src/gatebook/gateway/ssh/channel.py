"""One channel of a session, driven: asyncssh's callbacks become signals of its relay, the relay's effects become calls.

Flow. Input is not read while the relay is not hungry, the host's channel is not there yet, or the host does not take more; the
host is not read while the client does not take more. So what a channel holds is what two windows hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never, cast

import asyncssh
import structlog

from gatebook.errors import GatebookError, LedgerError, RecordingError
from gatebook.gateway.book import told
from gatebook.gateway.desk import Needs
from gatebook.gateway.ssh.far import ERRORS_OF, Far
from gatebook.gateway.ssh.looking import inquired
from gatebook.gateway.ssh.packets import untold
from gatebook.gateway.store import decided
from gatebook.gateway.tape import UNRECORDED
from gatebook.gateway.waiting import Waiting
from gatebook.model import Hold
from gatebook.protocols.git.commands import wanted
from gatebook.protocols.git.push_inquiry import PushInquiry
from gatebook.protocols.git.ssh_relay import GitEffect, GitRelay, GitSignal, Inquire, Inquired
from gatebook.protocols.relay import Allowed, Answered, Ask, Ended, Held, Refused, Side, Withdraw
from gatebook.protocols.ssh import refusal
from gatebook.protocols.ssh.messages import (
    SIDES,
    SIGNALS,
    TERMINAL,
    Closed,
    Data,
    Eof,
    Errors,
    Exit,
    Killed,
    OfClient,
    Resize,
    Signal,
    Start,
    Terminal,
)
from gatebook.protocols.ssh.reading import read
from gatebook.protocols.ssh.relay import (
    ChannelRelay,
    ClientSaid,
    Failed,
    Forward,
    Idle,
    Record,
    Reply,
)
from gatebook.protocols.ssh.sftp_relay import SftpRelay

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.ssh.session import SshSession

MODES = 64  # of a terminal; RFC 4254 has some fifty
WINDOW_BYTES = 2_097_152  # either side may send unread; on a line of 50 ms this is 40 MB/s
FIRST_BYTES = 131_072  # the same of a client, until its host first takes anything: so much may wait while people think
PACKET_BYTES = 32_768
DUMB = "dumb"  # the kind of terminal that a client has who names none
SFTP = "sftp"
NO_TERMINAL = "lines of shells are decided here, which needs a terminal; send a command, or ssh -tt"
NO_SUBSYSTEM = "subsystems are not passed on"

log = structlog.get_logger("gatebook.ssh")


class Channel(asyncssh.SSHServerSession[bytes]):
    """The client's side, and the driver of its relay. Lives in one event loop."""

    def __init__(self, gateway: Gateway, session: SshSession) -> None:
        self._gateway, self._session = gateway, session
        self._people = Waiting(gateway)
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._terminal: Terminal | None = None
        self._start: Start | None = None
        self._relay: ChannelRelay | SftpRelay | GitRelay | None = None
        self._far: Far | None = None
        self._unsent: list[OfClient] = []  # forwarded before the host's channel is there
        self._patience: asyncio.TimerHandle | None = None
        self._reads = True
        self._full = False
        self._started: dict[int, int] = {}  # when each action was let go, by its number
        session.channels.add(self)

    # What asyncssh calls --------------------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel stands."""
        self._chan = chan
        untold(chan)

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Any) -> bool:
        """A terminal is wanted for what will be run."""
        columns, lines, *_ = term_size
        kind = term_type or DUMB
        if not TERMINAL.fullmatch(kind) or len(term_modes) > MODES or columns > SIDES or lines > SIDES:
            return False
        self._terminal = Terminal(kind, columns, lines, dict(term_modes))
        return True

    def shell_requested(self) -> bool:
        """The user's shell is wanted: it is decided once the client knows that it was heard."""
        return self._wants(None)

    def exec_requested(self, command: str) -> bool:
        """The same of a command."""
        return self._wants(command)

    def subsystem_requested(self, subsystem: str) -> bool:
        """SFTP is read and decided; no other is passed on, and the client is told so as it would be told of a command."""
        if subsystem == SFTP and self._terminal is None:
            return self._wants(None, SFTP)
        self._session.turn_down("ssh.subsystem", f"subsystem {subsystem[:64]}", NO_SUBSYSTEM, subsystem=subsystem[:64])
        asyncio.get_running_loop().call_soon(self._turn_away, f"blocked by {refusal.NOT_PASSED}: {NO_SUBSYSTEM}")
        return True

    def _wants(self, command: str | None, subsystem: str = "") -> bool:
        if self._chan is None or self._session.ended:
            return False
        environment = tuple(sorted(self._chan.get_environment().items()))
        self._start = Start(command, self._terminal, environment, subsystem)
        return True

    def agent_requested(self, report: Callable[[bool], None]) -> None:
        """The host is to use the client's agent of keys; what the client asks for next waits until that is decided."""
        self._spawn(self._want_agent(report))

    async def _want_agent(self, report: Callable[[bool], None]) -> None:
        why = await self._session.agents.wanted()
        if self._chan is not None and not self._session.ended:
            if why and "agent" in self._session.target.forwards:
                self._reply(Errors(refusal.line(why)))
            report(not why)

    def session_started(self) -> None:
        """The client knows that it was heard. What it says from here on waits until it is read."""
        if self._start is None:
            return
        self._begin_relay(self._start)
        asyncio.get_running_loop().call_soon(self.flow)  # asyncssh begins to read right behind this call

    def _begin_relay(self, start: Start) -> None:
        relay: ChannelRelay | SftpRelay | GitRelay
        target = self._session.target
        user = target.user(self._session.role)
        of_git = wanted(start.command, target.repositories or "") if start.command and start.terminal is None else None
        if start.subsystem:
            relay = SftpRelay(self._session.terms, start, user, contents=target.transfers == "contents")
        elif of_git is not None:
            relay = GitRelay(self._session.terms, start, of_git, target.push_bytes, self._session.pushes)
            self._people.hold = Hold.ANSWER  # as over HTTP: whoever pushes is told where to follow it, and pushes again
        else:
            reading = read(start, user)
            if target.lines == "decided" and start.command is None and start.terminal is None:
                reading = replace(reading, fault=NO_TERMINAL)
            if reading.fault:
                self._session.turn_down("ssh.exec", reading.shown, reading.fault)
                self._turn_away(f"blocked by {refusal.NOT_PASSED}: {reading.fault}")
                return
            relay = ChannelRelay(self._session.terms, start, reading, user if target.lines == "decided" else "")
        self._relay = relay
        self._guard(lambda: self._do_all(relay.begin()))

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Input."""
        self._session.received += len(data)
        if datatype is None:
            self.signal(ClientSaid(Data(data)))

    def eof_received(self) -> bool:
        """No more input; the other way stays open."""
        self.signal(ClientSaid(Eof()))
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """The client's terminal has another size."""
        if self._terminal is not None and width <= SIDES and height <= SIDES:
            self.signal(ClientSaid(Resize(width, height)))

    def signal_received(self, signal: str) -> None:
        """The client wants a signal sent."""
        if signal in SIGNALS:
            self.signal(ClientSaid(Signal(signal)))

    def break_received(self, msec: int) -> bool:
        """A break of a serial line, which is no host's."""
        return False

    def pause_writing(self) -> None:
        """The client does not read."""
        self._full = True
        self.flow()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._full = False
        self.flow()
        self._await_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over, or all of the connection is."""
        self.gone("the client went away")

    # Signals and effects --------------------------------------------------------------------------------------------------

    def end(self, why: str) -> None:
        """The gateway ends it; the client hears why."""
        self.signal(Ended(Side.GATEWAY, why))

    def gone(self, why: str) -> None:
        """Nobody is there any more."""
        self.signal(Ended(Side.CLIENT, why))
        self._people.gone()
        self._forget()
        self._chan = None

    def signal(self, signal: GitSignal) -> None:
        """Feed the relay and carry out what it says."""
        relay = self._relay
        if relay is None:
            return
        self._guard(lambda: self._feed(relay, signal))
        self.flow()

    def _feed(self, relay: ChannelRelay | SftpRelay | GitRelay, signal: GitSignal) -> None:
        match relay:
            case GitRelay():
                self._do_all(relay.feed(signal))
            case _ if not isinstance(signal, Inquired):
                self._do_all(relay.feed(signal))

    def _guard(self, work: Any) -> None:
        """A fault of ours ends this channel alone, closed, and is told to the operator; without book or recording all ends."""
        try:
            work()
        except RecordingError as error:
            self._session.end(UNRECORDED.format(error))
        except GatebookError as error:
            self._session.end(told(error))
        except Exception:
            log.exception("channel failed", session=self._session.session.id)
            self._turn_away("an error inside the gateway; its operators' log has it")

    def _do_all(self, effects: Sequence[GitEffect]) -> None:
        for effect in effects:
            self._do(effect)
        self._await_more()

    def _do(self, effect: GitEffect) -> None:
        match effect:
            case Ask():
                self._spawn(self._decide(effect))
            case Forward():
                self._forward(effect)
            case Inquire(inquiry):
                self._spawn(self._inquire(inquiry))
            case Record(seq, data):
                self._session.tape.content(seq, data)
            case Reply(message):
                self._reply(message)
            case Answered():
                self._session.answered(effect, self._started.pop(effect.action.seq, self._gateway.clock()))
            case Withdraw():
                self._people.withdraw("withdrawn by the requester")
            case _:
                assert_never(effect)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._gateway.spawn(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RecordingError as error:
            self._session.end(UNRECORDED.format(error))
        except GatebookError as error:
            self._session.end(told(error))
        except Exception:
            log.exception("channel failed", session=self._session.session.id)
            self._turn_away("an error inside the gateway; its operators' log has it")

    def _await_more(self) -> None:
        """What is held back in case more of it comes goes on when nothing does."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._relay is not None and self._relay.waits and not self._full:  # a host that is not heard is not silent
            self._patience = asyncio.get_running_loop().call_later(self._relay.waits, self.signal, Idle())

    # Deciding -------------------------------------------------------------------------------------------------------------

    async def _decide(self, ask: Ask) -> None:
        session, desk = self._session, self._gateway.desk
        answer = await desk.decide(session.session, ask)
        if isinstance(answer, Needs):
            answer = await self._people.asked(session.session, ask, answer, session.place, None, self._hear)
        if self._relay is None or self._session.ended:
            return
        verdict = answer.verdict if isinstance(answer, Refused) else answer.ruled
        session.tape.asked(ask, decided(ask.action, verdict), answer.decision)
        if isinstance(answer, Allowed):
            self._started[ask.action.seq] = self._gateway.clock()
        if isinstance(answer, Allowed) and ask.action.verb in ("ssh.sftp.read", "git.fetch"):
            await self._synced(answer.permit.receipt.index)
        if not session.ended:
            self.signal(answer)

    async def _synced(self, index: int) -> None:
        """Wait until the entry would survive a power cut: what a file holds goes out behind it. Raises LedgerError."""
        told, book = asyncio.Event(), self._gateway.book
        book.when_synced(index, told.set)
        await told.wait()
        if not book.synced(index):
            raise LedgerError(book.failed or "the log is closed")

    async def _inquire(self, inquiry: PushInquiry) -> None:
        async with self._session.inquiring:
            if self._relay is None:
                return
            found = await inquired(self._session, inquiry)
        self.signal(Inquired(found))

    def _hear(self, held: Held) -> None:
        self.signal(held)

    # The host -------------------------------------------------------------------------------------------------------------

    def _forward(self, forward: Forward) -> None:
        message = forward.message
        if isinstance(message, Start):
            self._spawn(self._begin(message))
        elif self._far is None:
            self._unsent.append(message)
        else:
            self._far.say(message)

    async def _begin(self, start: Start) -> None:
        """Have the host run it, then hear what was said since."""
        far = Far(self)
        try:
            host = await self._session.host()
            terminal = start.terminal
            self._session.agents.prepare(host)
            chan, _ = await host.create_session(
                lambda: far,
                start.command,
                subsystem=start.subsystem or None,
                env=dict(start.environment),
                send_env=None,
                request_pty="force" if terminal is not None else False,
                term_type=terminal.kind if terminal is not None else None,
                term_size=(terminal.columns, terminal.lines) if terminal is not None else None,
                term_modes=dict(terminal.modes) if terminal is not None else None,
                encoding=None,
                window=WINDOW_BYTES,
                max_pktsize=PACKET_BYTES,
            )
        except (GatebookError, asyncssh.Error, OSError) as error:
            why = str(error) if isinstance(error, GatebookError) else f"the host does not begin it: {error}"
            self.signal(Failed(why))
            return
        far.chan = chan
        self._session.agents.prepared(host)
        if self._relay is None:
            chan.abort()
            return
        self._far = far
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            far.say(message)
        self.flow()

    # The client -----------------------------------------------------------------------------------------------------------

    def _reply(self, message: Data | Errors | Eof | Exit | Killed | Closed) -> None:
        chan = self._chan
        if chan is None:
            return
        with contextlib.suppress(OSError):  # it takes no words behind its own end
            match message:
                case Data(data):
                    self._session.sent += len(data)
                    chan.write(data)
                case Errors(data):
                    self._session.sent += len(data)
                    chan.write(data, ERRORS_OF)
                case Eof():
                    chan.write_eof()
                case Exit(status):
                    chan.exit(status)
                case Killed(name, dumped):
                    chan.exit_with_signal(name, dumped)
                case Closed():
                    chan.close()
                    self._forget()
                case _:
                    assert_never(message)

    def _turn_away(self, why: str) -> None:
        """The client hears why nothing comes of it."""
        if self._chan is not None:
            with contextlib.suppress(OSError):
                self._chan.write(refusal.line(why), ERRORS_OF)
            self._chan.exit(refusal.STATUS)
        self._forget()

    def _forget(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._relay = None
        self._unsent.clear()
        if self._far is not None:
            self._far.drop()
        self._session.leave(self)

    # Flow -----------------------------------------------------------------------------------------------------------------

    def flow(self) -> None:
        """Read each side only while the other takes more."""
        chan, relay, far = self._chan, self._relay, self._far
        if far is not None:
            far.read(not self._full)
        if chan is None or relay is None:
            return
        wanted = relay.hungry and far is not None and not far.full
        if wanted is not self._reads:
            self._reads = wanted
            if wanted:
                cast(Any, chan).widen()
            (chan.resume_reading if wanted else chan.pause_reading)()
