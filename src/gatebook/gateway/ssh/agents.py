"""A client's agent of keys, used by the host: one action of the session, decided when a channel first asks for it.

With a yes the host is asked to have a socket for it, and each of its connections becomes a channel to the client, whose agent
answers. What passes is read (``protocols/ssh/agent.py``): logins and signatures of SSH's own kind go on, nothing else does. It
ends with the session. OpenSSH's server gives all that the session runs from then on that socket, whichever channel asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import asyncssh
import structlog

from gatebook.errors import RecordingError, WireError
from gatebook.gateway.ssh.channel import PACKET_BYTES, WINDOW_BYTES
from gatebook.gateway.ssh.forwards import FULL, End, Forward, Pipe
from gatebook.gateway.ssh.packets import HostConnection
from gatebook.gateway.tape import UNRECORDED
from gatebook.protocols.ssh.agent import Talk, Tally
from gatebook.protocols.ssh.forwarding import Wish, failure
from gatebook.protocols.terminals import Kind as Frame
from gatebook.protocols.terminals import frame

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.ssh.session import SshSession

NO_AGENT = "agents of keys are not passed on: this target's forwards does not list agent"
CONNECTIONS = 1_000  # of one session
TRIES = 100  # of one session that rules are asked about

log = structlog.get_logger("gatebook.ssh")


class Agents:
    """Whether a session's host may use its client's agent. Lives in one event loop."""

    def __init__(self, gateway: Gateway, session: SshSession, client: asyncssh.SSHServerConnection) -> None:
        self._gateway, self._session, self._client = gateway, session, client
        self._deciding = asyncio.Lock()
        self._open: AgentForward | None = None
        self._turned_down = False
        self._tries = 0
        self._told: HostConnection | None = None  # the connection to the host that was asked for a socket

    async def wanted(self) -> str:
        """A channel asks for it: "" where the host may, else the line for its client, which may be empty."""
        if "agent" not in self._session.target.forwards:
            if not self._turned_down:
                self._turned_down = True
                self._session.turn_down("ssh.agent", Wish(agent=True).shown, NO_AGENT)
            return NO_AGENT
        async with self._deciding:
            if self._open is not None:
                return ""
            self._tries += 1
            if self._tries > TRIES:
                return f"rules were asked {TRIES} times about this session's agent of keys"
            forward = AgentForward(self._gateway, self._session, Wish(agent=True))
            if why := await forward.open(self._client):
                return why
            self._open = forward
            return ""

    def prepare(self, host: HostConnection) -> None:
        """Before a channel to the host is opened: the first one asks it for a socket, once."""
        if self._open is None or self._told is host:
            return
        self._told = host
        host._agent_forward_path = "gatebook"  # what asyncssh asks a host by; no path is used
        host.agent = self._open.accept

    def prepared(self, host: HostConnection) -> None:
        """The channel is open."""
        host._agent_forward_path = None

    def end(self) -> None:
        """The session is over."""
        if self._open is not None:
            self._open.close()


class AgentForward(Forward):
    """The use of one agent, from the first question about it to the session's end."""

    def __init__(self, gateway: Gateway, session: SshSession, wish: Wish) -> None:
        super().__init__(gateway, session, wish)
        self._client: asyncssh.SSHServerConnection | None = None
        self._tally = Tally()

    async def open(self, client: asyncssh.SSHServerConnection) -> str:
        """Have it decided; "" where it may be used, else why not."""
        try:
            await self._decide()
        except asyncssh.ChannelOpenError as error:
            self._finish("failed")
            return error.reason.removeprefix("gatebook: ")
        self._client = client
        self._session.leave(self)  # no channel of its own: its connections are counted
        return ""

    def accept(self, packet: asyncssh.packet.SSHPacket) -> tuple[Any, Awaitable[Any]]:
        """asyncssh's place for it: something on the host connects to the agent."""
        packet.check_end()
        session, client = self._session, self._client
        if self._over or client is None or session.full or self.connections >= CONNECTIONS:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, failure(FULL))
        host = session.host_now
        if host is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, failure("the session is over"))
        pipe = AgentPipe(self, self._tally)
        self.take(pipe)
        return host.create_unix_channel(window=WINDOW_BYTES, max_pktsize=PACKET_BYTES), self._reach(client, pipe)

    async def _reach(self, client: asyncssh.SSHServerConnection, pipe: AgentPipe) -> End:
        try:
            chan = client.create_agent_channel(WINDOW_BYTES, PACKET_BYTES)
            await chan.open(pipe.make_near)
        except (asyncssh.Error, OSError) as error:
            pipe.close()
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED, failure(f"the client has no agent: {error}")
            ) from None
        return pipe.far

    def tell(self, sentences: list[str]) -> None:
        """Record what passed. Ends the session where that fails."""
        if self._action is None:
            return
        try:
            for one in sentences:
                self._session.tape.content(self._action.seq, frame(Frame.TOLD, one.encode("utf-8", "backslashreplace")))
        except RecordingError as error:
            self._session.end(UNRECORDED.format(error))

    @property
    def told(self) -> str:
        """As the book has it."""
        tally = self._tally
        return f"{self.connections} connections, {tally.signed} signatures, {tally.refused} requests refused"


class AgentPipe(Pipe):
    """One connection of the host's to the agent, read both ways."""

    def __init__(self, forward: AgentForward, tally: Tally) -> None:
        super().__init__(forward)
        self._owner = forward
        self._talk = Talk(tally)

    def pass_on(self, end: End, data: bytes) -> None:
        """What may go on does, once it is told."""
        try:
            passed = self._talk.answered(data) if end is self.near else self._talk.asked(data)
        except WireError as error:
            log.info("not the words of an agent", why=str(error))
            self.close()
            return
        self._owner.tell(passed.told)
        if self.closed:
            return
        self._owner.count(*((len(data), 0) if end is self.near else (0, len(data))))
        if passed.to_agent:
            self.near.write(passed.to_agent)
        if passed.to_host:
            self.far.write(passed.to_host)
