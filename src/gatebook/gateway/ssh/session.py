"""A session of SSH: one connection of a client, all its channels, and one connection to the host that they share.

The host is dialled once the first action may go, and again where that connection was lost. Each channel is decided for itself,
whichever client's processes share the connection (ControlMaster).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

import asyncssh
import structlog

from gatebook.config import SshTarget
from gatebook.errors import GatebookError, RecordingError
from gatebook.gateway.book import told
from gatebook.gateway.desk import Welcome
from gatebook.gateway.holding import Place
from gatebook.gateway.ssh import upstream
from gatebook.gateway.ssh.agents import Agents
from gatebook.gateway.ssh.packets import HostConnection
from gatebook.gateway.standing import Standing, close_in_book
from gatebook.gateway.store import decided
from gatebook.gateway.tape import UNRECORDED, Tape
from gatebook.model import Action, Deed, Ruling, Session, Verdict
from gatebook.protocols.git.ssh_relay import Room
from gatebook.protocols.relay import Answered, Ask
from gatebook.protocols.ssh.reading import TARGET, no_facts
from gatebook.protocols.ssh.refusal import NOT_PASSED
from gatebook.protocols.ssh.relay import Terms
from gatebook.protocols.ssh.verbs import VERBS

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.ssh.channel import Channel
    from gatebook.gateway.ssh.forwards import Forward

PUSHES = 2  # of the longest that may be held at once
CHANNELS = 100  # of one connection at a time
IDLE_SECONDS = 900.0  # without a channel
GOODBYE_SECONDS = 0.5  # for a client to take the last words
REFUSALS = 1_000  # of what nobody may, listed in the book for one session

log = structlog.get_logger("gatebook.ssh")


class SshSession:
    """One session, live. Lives in one event loop."""

    def __init__(
        self,
        gateway: Gateway,
        connection: asyncssh.SSHServerConnection,
        token: bytes | None,
        welcome: Welcome,
        target: SshTarget,
        tape: Tape,
        needles: Collection[bytes],
    ) -> None:
        self._gateway, self._connection = gateway, connection
        self.token, self.target, self.role, self.tape = token, target, welcome.role, tape
        self.session: Session = welcome.session
        self.place = Place(welcome.role, target.user(welcome.role), target.identity)
        self.channels: set[Channel | Forward] = set()
        self.piped = 0  # connections to places where the host listens
        self.received = self.sent = 0
        self.ended = ""
        self._closed = False
        self._seq = self._refusals = 0
        self._standing = Standing(gateway.desk, welcome.session, welcome.role)
        self._writing: set[asyncio.Task[None]] = set()
        self._host: asyncio.Future[HostConnection] | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._used_at = asyncio.get_running_loop().time()
        self.pushes = Room(PUSHES * target.push_bytes)
        self.inquiring = asyncio.Lock()  # what a push brings is opened for one at a time
        self.agents = Agents(gateway, self, connection)
        self.terms = Terms(
            session=welcome.session.id,
            covering=gateway.desk.covering(welcome.session, target),
            number=self._number,
            needles=needles,
        )

    def _number(self) -> int:
        self._seq += 1
        return self._seq

    @property
    def full(self) -> bool:
        """Whether no further channel may be opened."""
        return bool(self.ended) or len(self.channels) + self.piped >= CHANNELS

    def leave(self, channel: Channel | Forward) -> None:
        """A channel is over."""
        self.channels.discard(channel)
        self._used_at = asyncio.get_running_loop().time()

    @property
    def host_now(self) -> HostConnection | None:
        """The connection to the host that stands."""
        host = self._host
        return host.result() if host is not None and host.done() and not _is_lost(host) else None

    async def host(self) -> HostConnection:
        """The connection to the host. Raises GatebookError."""
        if self._host is None or (self._host.done() and _is_lost(self._host)):
            self._host = asyncio.get_running_loop().create_future()
            self._dialling = self._gateway.spawn(self._dial(self._host))
        return await asyncio.shield(self._host)

    async def _dial(self, host: asyncio.Future[HostConnection]) -> None:
        try:
            made = await upstream.dial(self.target, self.role)
        except GatebookError as error:
            host.set_exception(error)
        except asyncio.CancelledError:
            host.set_exception(GatebookError("the session is over"))
            raise
        except Exception:
            log.exception("a host could not be dialled", session=self.session.id)
            host.set_exception(GatebookError("an error inside the gateway; its operators' log has it"))
        else:
            host.set_result(made)
            if self._closed:
                made.abort()
        finally:
            if host.done() and not host.cancelled():
                host.exception()  # nobody may be waiting for it

    def answered(self, answer: Answered, started: int) -> None:
        """How an action ended, for recording and book. Raises RecordingError."""
        self.tape.answered(answer)
        milliseconds = (self._gateway.clock() - started) // 1000
        task = self._gateway.spawn(self._write_answer(answer, milliseconds))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_answer(self, answer: Answered, milliseconds: int) -> None:
        try:
            await self._gateway.book.answered(self.session, answer, milliseconds)
        except GatebookError as error:
            self.end(told(error))

    def turn_down(self, verb: str, shown: str, why: str, **facts: object) -> None:
        """Write down what nobody may: no rule is asked. Past ``REFUSALS`` the session ends."""
        self._refusals += 1
        if self._refusals > REFUSALS:
            self.end(f"more than {REFUSALS} requests of this session were refused")
            return
        known = no_facts(user=self.target.user(self.role), why_unknown=why, **facts)
        deed = Deed(verb=verb, reach=VERBS[verb], resource=TARGET, facts=known)
        action = Action(session=self.session.id, seq=self._number(), deeds=(deed,), text=shown)
        verdict = Verdict(ruling=Ruling.BLOCK, rule=NOT_PASSED, reason=why, policy_digest="")
        task = self._gateway.spawn(self._write_down(Ask(action, frozenset(), shown), verdict))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_down(self, ask: Ask, verdict: Verdict) -> None:
        try:
            refused = await self._gateway.desk.refuse(self.session, ask, verdict)
            self.tape.asked(ask, decided(ask.action, verdict), refused.decision)
        except GatebookError as error:
            self.end(told(error))

    # What the gateway asks of each live session ---------------------------------------------------------------------------

    def tick(self) -> None:
        """About once a second."""
        try:
            self.tape.tick()
        except RecordingError as error:
            self.end(UNRECORDED.format(error))
        if not self.channels and asyncio.get_running_loop().time() - self._used_at > IDLE_SECONDS:
            self.end("nothing was asked for a while")

    def stale(self) -> None:
        """What was learnt of the target counts no more; here is nothing of the kind."""

    def check_grants(self) -> None:
        """A session that stands on a grant ends with it."""
        if why := self._standing.lost():
            self.end(why)

    def end(self, why: str) -> None:
        """The gateway ends it: each channel hears why, then the connection does."""
        if self.ended:
            return
        self.ended = why
        for channel in list(self.channels):
            channel.end(why)
        asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._hang_up, why)
        self.close(why)

    def _hang_up(self, why: str) -> None:
        if not self._connection.is_closed():
            self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    def close(self, why: str) -> None:
        """The connection is over: nothing of it can follow. Whatever happens, this closes the session in the book, once."""
        if self._closed:
            return
        self._closed = True
        self.ended = self.ended or why
        for channel in list(self.channels):
            channel.gone(why)
        self.agents.end()
        self._gateway.ssh.forget(self)
        self._gateway.spawn(self._close(why))

    async def _close(self, why: str) -> None:
        if self._dialling is not None:
            self._dialling.cancel()
        if (host := self.host_now) is not None:
            host.close()
        while self._writing:
            await asyncio.wait(set(self._writing))
        await self.tape.close(why)
        await close_in_book(self._gateway, self.session, why, self.received, self.sent)


def _is_lost(host: asyncio.Future[HostConnection]) -> bool:
    return host.cancelled() or host.exception() is not None or host.result().is_closed()
