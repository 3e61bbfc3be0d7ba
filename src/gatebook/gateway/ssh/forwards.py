"""Forwards of one session: what its client wants connected, the host connects; the gateway itself dials nothing.

Each is decided before anything of it reaches the host, and pending until then: its client waits for the channel, or hears in
one line why it has none. Bytes pass unread, are counted both ways, and stand in the book when it ends. Where the host listens,
that is decided once, and each connection that comes is of the same action.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import asyncssh
import structlog

from gatebook.errors import GatebookError, RecordingError
from gatebook.gateway.book import told
from gatebook.gateway.desk import Needs
from gatebook.gateway.ssh.channel import PACKET_BYTES, WINDOW_BYTES
from gatebook.gateway.store import decided
from gatebook.gateway.tape import UNRECORDED
from gatebook.gateway.waiting import Waiting
from gatebook.model import Action
from gatebook.protocols.relay import Allowed, Answered, Held, Refused
from gatebook.protocols.ssh.forwarding import Wish, asked, failure, refused

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway
    from gatebook.gateway.ssh.session import SshSession

FULL = "no further channel may be opened"
INSIDE = "an error inside the gateway; its operators' log has it"
SETTINGS: dict[str, Any] = {"encoding": None, "window": WINDOW_BYTES, "max_pktsize": PACKET_BYTES}

log = structlog.get_logger("gatebook.ssh")


class Forward:
    """One forward, from its wish to its end. One of the session's channels while it is there. Lives in one event loop."""

    def __init__(self, gateway: Gateway, session: SshSession, wish: Wish) -> None:
        self._gateway, self._session, self._wish = gateway, session, wish
        self._people = Waiting(gateway)
        self._action: Action | None = None
        self._started = 0
        self._pipes: set[Pipe] = set()
        self._listener: asyncssh.SSHListener | None = None
        self._over = False
        self.received = self.sent = self.connections = 0
        session.channels.add(self)

    # What the door asks for -----------------------------------------------------------------------------------------------

    async def connect(self) -> End:
        """The client's end of a connection that the host made. Raises ChannelOpenError."""
        try:
            return await self._connect()
        except BaseException as error:
            self._finish("failed")
            if isinstance(error, asyncssh.ChannelOpenError) or not isinstance(error, Exception):
                raise
            log.exception("forward failed", session=self._session.session.id)
            raise _failed(INSIDE) from None

    async def _connect(self) -> End:
        await self._decide()
        host = await self._host()
        pipe, wish = Pipe(self), self._wish
        try:
            if wish.port < 0:
                await host.create_unix_connection(pipe.make_far, wish.host, **SETTINGS)
            else:
                await host.create_connection(pipe.make_far, wish.host, wish.port, **SETTINGS)
        except asyncssh.ChannelOpenError as error:
            raise _failed(f"the host does not connect there: {error.reason}", error.code) from None
        except (asyncssh.Error, OSError) as error:
            raise _failed(f"the host does not connect there: {error}") from None
        self.take(pipe)
        return pipe.near

    async def listen(self, client: asyncssh.SSHServerConnection) -> Listening | None:
        """The host listens, and what connects there is the client's; None where it does not."""
        try:
            await self._decide()
            host, wish = await self._host(), self._wish
            accept = _Accept(self, client, wish)
            if wish.port < 0:
                self._listener = await host.create_unix_server(accept.at_socket, wish.host, **SETTINGS)
            else:
                self._listener = await host.create_server(accept.at_port, wish.host, wish.port, **SETTINGS)
            accept.port = self._listener.get_port()
        except (asyncssh.Error, asyncssh.ChannelListenError, OSError) as error:
            log.info("a host does not listen", session=self._session.session.id, why=str(error))
            self._finish("failed")
            return None
        except BaseException as error:
            self._finish("failed")
            if not isinstance(error, Exception):
                raise
            log.exception("forward failed", session=self._session.session.id)
            return None
        if self._over:
            self._listener.close()
            return None
        return Listening(self, accept.port)

    # Deciding -------------------------------------------------------------------------------------------------------------

    async def _decide(self) -> None:
        """Go on only with a yes that is in the book. Raises ChannelOpenError."""
        session = self._session
        try:
            answer = await self._asked()
        except RecordingError as error:
            session.end(UNRECORDED.format(error))
            raise _failed(session.ended) from None
        except GatebookError as error:
            session.end(told(error))
            raise _failed(session.ended) from None
        except Exception:
            log.exception("forward failed", session=session.session.id)
            raise _failed(INSIDE) from None
        if isinstance(answer, Refused):
            raise _failed(refused_text(answer), asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED)
        self._going_on()
        self._action, self._started = answer.permit.action, self._gateway.clock()

    async def _asked(self) -> Allowed | Refused:
        session, desk = self._session, self._gateway.desk
        user = session.target.user(session.role)
        ask = asked(self._wish, user, session.session.id, session.terms.number())
        answer = await desk.decide(session.session, ask)
        if isinstance(answer, Needs):
            answer = await self._people.asked(session.session, ask, answer, session.place, None, _unheard)
        verdict = answer.verdict if isinstance(answer, Refused) else answer.ruled
        session.tape.asked(ask, decided(ask.action, verdict), answer.decision)
        return answer

    async def _host(self) -> asyncssh.SSHClientConnection:
        try:
            host = await self._session.host()
        except GatebookError as error:
            raise _failed(str(error)) from None
        self._going_on()
        return host

    def _going_on(self) -> None:
        if self._over or self._session.ended:
            raise _failed(self._session.ended or "the client went away")

    # Its pipes, its end ---------------------------------------------------------------------------------------------------

    @property
    def told(self) -> str:
        """What passed, as the book has it."""
        many = f"{self.connections} connections, " if self._wish.listens else ""
        return f"{many}{self.received} bytes in, {self.sent} out"

    @property
    def full(self) -> bool:
        """Whether it takes no further connection."""
        return self._over or self._session.full

    def take(self, pipe: Pipe) -> None:
        """A connection is one of its own. Raises ChannelOpenError."""
        if self._over:
            pipe.close()
            raise _failed(self._session.ended or "the client went away")
        self.connections += 1
        self._pipes.add(pipe)
        self._session.piped += self._wish.many

    def count(self, received: int, sent: int) -> None:
        """So many bytes passed."""
        self.received += received
        self.sent += sent
        self._session.received += received
        self._session.sent += sent

    def lost(self, pipe: Pipe) -> None:
        """A connection is over; with it the forward, where it is the one."""
        if pipe in self._pipes:
            self._pipes.discard(pipe)
            self._session.piped -= self._wish.many
        if not self._wish.many:
            self._finish("closed")

    def end(self, why: str) -> None:
        """The gateway ends it; a channel of this sort has no words to say why."""
        self._finish("ended")

    def gone(self, why: str) -> None:
        """Nobody is there any more."""
        self._people.gone()
        self._finish("closed")

    def close(self) -> None:
        """The client wants no further connection."""
        self._finish("closed")

    def _finish(self, how: str) -> None:
        if self._over:
            return
        self._over = True
        for pipe in list(self._pipes):
            pipe.close()
        if self._listener is not None:
            self._listener.close()
        self._session.leave(self)
        if self._action is None:
            return
        status = f"{how}: {self.told}"
        with contextlib.suppress(RecordingError):  # the session ends by it
            self._session.answered(Answered(self._action, status, 0, self.received + self.sent, {}), self._started)


def refused_text(answer: Refused) -> str:
    """The line of a refusal, without what ``failure`` puts before it."""
    if answer.action is None:
        raise AssertionError("a forward was refused without an action")
    return refused(answer.action, answer).removeprefix("gatebook: ")


def _failed(words: str, code: int = asyncssh.OPEN_CONNECT_FAILED) -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(code, failure(words))


def _unheard(_held: Held) -> None:
    """A channel that is not open has no words: its client waits."""


class _Accept:
    """Takes what connects to a place where the host listens, and has the client take it."""

    def __init__(self, forward: Forward, client: asyncssh.SSHServerConnection, wish: Wish) -> None:
        self._forward, self._client, self._wish = forward, client, wish
        self.port = wish.port

    async def at_port(self, host: str, port: int) -> Any:
        """Somebody connected, from there."""
        wish, client = self._wish, self._client
        return await self._accepted(
            lambda pipe: client.create_connection(pipe.make_near, wish.host, self.port, host, port, **SETTINGS)
        )

    async def at_socket(self) -> Any:
        """The same at a socket."""
        wish, client = self._wish, self._client
        return await self._accepted(lambda pipe: client.create_unix_connection(pipe.make_near, wish.host, **SETTINGS))

    async def _accepted(self, opened: Callable[[Pipe], Awaitable[Any]]) -> Any:
        if self._forward.full:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, failure(FULL))
        pipe = Pipe(self._forward)
        self._forward.take(pipe)
        try:
            await opened(pipe)
        except (asyncssh.Error, OSError) as error:
            pipe.close()
            raise _failed(f"the client does not take it: {error}") from None
        return pipe.far


class Listening(asyncssh.SSHListener):
    """What the client's side of asyncssh keeps of a place where the host listens."""

    def __init__(self, forward: Forward, port: int) -> None:
        super().__init__()
        self._forward, self._port = forward, port

    def get_port(self) -> int:
        """The port, which the host chose where none was named."""
        return self._port

    def close(self) -> None:
        """The client wants it no more, or is gone."""
        self._forward.close()

    async def wait_closed(self) -> None:
        """It is closed at once."""


class Pipe:
    """One connection: its client's end, its host's end."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.near, self.far = End(self), End(self)
        self.near.other, self.far.other = self.far, self.near
        self.closed = False

    def make_near(self) -> Any:
        """Its client's end, as asyncssh asks for it, of TCP or of a socket."""
        return self.near

    def make_far(self) -> Any:
        """Its host's."""
        return self.far

    def pass_on(self, end: End, data: bytes) -> None:
        """This came from one end."""
        self.forward.count(len(data) if end is self.near else 0, len(data) if end is self.far else 0)
        end.other.write(data)

    def close(self) -> None:
        """Both ends close, behind what they were told already."""
        if self.closed:
            return
        self.closed = True
        for end in (self.near, self.far):
            end.hang_up()
        self.forward.lost(self)


class End(asyncssh.SSHTCPSession[bytes]):
    """One side of a pipe, TCP or socket."""

    other: End

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._chan: Any = None
        self._early: list[bytes] = []  # what came from the other side before this one stood: a window at most
        self._ended = False

    def connection_made(self, chan: Any) -> None:
        """The channel stands."""
        self._chan = chan
        if self._pipe.closed:
            chan.close()
            return
        early, self._early = self._early, []
        for data in early:
            self.write(data)
        if self._ended:
            self.finish()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Bytes, for the other side."""
        self._pipe.pass_on(self, data)

    def eof_received(self) -> bool:
        """No more comes from here; the other way stays open."""
        self.other.finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is over."""
        self._chan = None
        self._pipe.close()

    def pause_writing(self) -> None:
        """This side does not read."""
        self.other.read(False)

    def resume_writing(self) -> None:
        """It reads again."""
        self.other.read(True)

    def write(self, data: bytes) -> None:
        """Give it to this side."""
        if self._chan is None:
            self._early.append(data)
            return
        with contextlib.suppress(OSError):  # it closes
            self._chan.write(data)

    def finish(self) -> None:
        """No more comes to this side."""
        self._ended = True
        if self._chan is not None:
            with contextlib.suppress(OSError):
                self._chan.write_eof()

    def read(self, wanted: bool) -> None:
        """Whether this side is read."""
        if self._chan is not None:
            (self._chan.resume_reading if wanted else self._chan.pause_reading)()

    def hang_up(self) -> None:
        """Close this side."""
        self._early.clear()
        if self._chan is not None:
            self._chan.close()
            self._chan.resume_reading()  # what nobody reads any more must not keep it
