"""The sessions of one process: its listener, its live connections, and what must happen every moment.

Every quarter of a second it ends sessions whose identity's time is over, whose token was revoked, or that an operator wants
ended; every few seconds it tells relays that what they learnt of catalogs is stale. What needs the database never holds up what
does not. When the book cannot be written any more,
every session ends and nobody is let in; so it is, too, for those on gateway tokens when nobody can tell which were revoked.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ssl
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gatebook.config import Address, Config, Listener, PostgresListener
from gatebook.config.tls import server_context
from gatebook.errors import ConfigError, LedgerError
from gatebook.gateway import lookout
from gatebook.gateway.book import Book, new_id
from gatebook.gateway.cancels import LONG, SHORT, Cancels
from gatebook.gateway.clock import Clock
from gatebook.gateway.connection import Connection
from gatebook.gateway.crowd import Crowd
from gatebook.gateway.desk import Desk
from gatebook.gateway.dial import Trust
from gatebook.gateway.doorway import ALPN
from gatebook.gateway.granted import Granted
from gatebook.gateway.holding import Holding
from gatebook.gateway.http.front import HTTP_ALPN, Http, HttpConnection
from gatebook.gateway.http.http2 import Http2Connection
from gatebook.gateway.live import Live
from gatebook.gateway.memory import Heap
from gatebook.gateway.preview import Previews
from gatebook.gateway.proving import Proving
from gatebook.gateway.reads import reads
from gatebook.gateway.rows import Rows
from gatebook.gateway.ssh.door import Ssh
from gatebook.gateway.tape import Tapes
from gatebook.identity.browsers import BrowserSignIns
from gatebook.identity.prove import Prover
from gatebook.identity.tokens import GatewayTokens
from gatebook.masking.detectors import cover_text
from gatebook.model import Identity, RefusalClass, Session, Verdict
from gatebook.protocols.postgres.bearer import Bearer
from gatebook.protocols.postgres.catalog_facts import Facts
from gatebook.protocols.postgres.opening import Keys
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.relay import Refused
from gatebook.recording.recorder import behind

SWEEP_SECONDS = 0.25  # expiry, kill and revocation reach a live session within this, and the promise is two seconds
STALE_SECONDS = 5.0  # how long what a relay knows of a catalog holds
DRAIN_SECONDS = 5.0  # for sessions to be closed in the book when the gateway stops
BLIND_SECONDS = 5.0  # without an answer about revoked tokens; then their sessions end
DOORS = 2_000  # connections of HTTP in one process, whoever's they are
GATEWAY_TOKEN = "gateway token"
UNTOLD = "nobody can tell whether your {} was revoked"

log = structlog.get_logger("gatebook.gateway")


class Gateway:
    """Owns the connections of its process. Lives in one event loop, inside one task group."""

    sweep_seconds, blind_seconds = SWEEP_SECONDS, BLIND_SECONDS

    def __init__(
        self,
        config: Config,
        desk: Desk,
        book: Book,
        prover: Prover,
        tokens: GatewayTokens,
        browsers: BrowserSignIns,
        holding: Holding,
        granted: Granted,
        tapes: Tapes,
        rows: Rows,
        crowd: Crowd,
        cancels: Cancels,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.config, self.desk, self.book, self.clock = config, desk, book, clock
        self.holding, self.granted, self.tapes = holding, granted, tapes
        self.proving = Proving(prover, granted, book)
        self.bearer, self.stretched, self.trust = bearer_of(config), Stretched(), Trust()
        self.facts, self.reads = Facts(), reads(behind)
        self.previews = Previews(desk, book, clock)
        self.login_seconds = float(config.limits.login_seconds)
        self._tokens, self._rows, self._cancels, self._tasks = tokens, rows, cancels, tasks
        self._connections: set[Connection] = set()
        self._live: set[Live] = set()
        self._doors: set[HttpConnection | Http2Connection] = set()
        self.http = Http(self, config, self.trust, browsers)
        self.ssh = Ssh(self)
        self._crowd = crowd
        self._stopping = False
        self._running = 0
        self._seen_at = 0.0  # when the last question about revoked tokens was asked that was answered, by the loop's clock
        self._quiet = asyncio.Event()

    # What connections use -------------------------------------------------------------------------------------------

    def admit(self, connection: Connection, address: str) -> str:
        """Take a connection in; says why not when there are too many, the gateway stops or the book is gone."""
        why = self._closed or self._crowd.come(connection, address)
        if why:
            log.warning("connection turned away", why=why, client=address, live=len(self._connections))
        else:
            self._connections.add(connection)
            self._live.add(connection)
        return why

    def admit_http(self, connection: HttpConnection, address: str) -> str:
        """The same for a client of HTTP: its sessions are counted by themselves, whichever connections they use."""
        crowded = "" if len(self._doors) < DOORS else "too many connections are open; try again in a moment"
        why = self._closed or crowded or self._crowd.come(connection, address)
        if why:
            log.warning("connection turned away", why=why, client=address)
        else:
            self._doors.add(connection)
        return why

    def knock(self, key: Hashable, address: str) -> str:
        """The same for who comes by SSH: each is a session's, or nobody's."""
        return self._closed or self._crowd.come(key, address)

    def leave_http(self, connection: HttpConnection | Http2Connection) -> None:
        """Forget a connection of HTTP that has ended."""
        self._crowd.leave(connection)
        self._doors.discard(connection)

    def hand_over_http(self, before: HttpConnection, after: Http2Connection) -> None:
        """The same client, which turns out to speak another version."""
        self._doors.discard(before)
        self._crowd.rename(before, after)
        self._doors.add(after)

    def proved_http(self, connection: HttpConnection | Http2Connection) -> None:
        """A connection showed a good token: it no longer counts among those that proved nothing."""
        self._crowd.proved(connection)

    async def turn_away(self, identity: Identity | None, target: str, address: str, verdict: Verdict, why: str) -> Refused:
        """Write down that somebody was not let in, and say so; ``why`` is the truth of it, for the book. Raises LedgerError."""
        now = self.clock()
        decision = new_id(now)
        await self.book.refused_at_the_door(identity, target, address, verdict.rule, why, decision, now)
        log.info("refused at the door", client=address, rule=verdict.rule)
        return Refused(None, verdict, RefusalClass.ASK, decision)

    def seat_at_once(self, key: Hashable) -> str:
        """A session that may have many connections begins; says why not when there are too many."""
        why = self._closed or self._crowd.enter(key)
        if why:
            log.warning("session turned away", why=why, live=len(self._live))
        return why

    def unseat(self, key: Hashable) -> None:
        """Such a session has ended."""
        self._crowd.leave(key)

    def add(self, live: Live) -> None:
        """Look after a session."""
        self._live.add(live)

    def drop(self, live: Live) -> None:
        """It has ended."""
        self._live.discard(live)

    def seat(self, connection: Connection) -> str:
        """A connection has proved who it is and becomes a session; says why not when there are too many."""
        why = self._crowd.enter(connection)
        if why:
            log.warning("session turned away", why=why, live=len(self._connections))
        return why

    @property
    def _closed(self) -> str:
        if self._stopping:
            return "the gateway is stopping; connect again in a moment"
        return "the book cannot be written, so nobody is let in" if self.book.failed else ""

    def new_keys(self) -> Keys:
        """Cancel keys for a session of this process."""
        return Keys(self._cancels.keys.make(SHORT), self._cancels.keys.make(LONG))

    def cancel(self, key: bytes, address: str) -> None:
        """Stop what the session with this cancel key runs, wherever it is; a key that nobody has does and says nothing."""
        self._cancels.ask(key, address, self._cancel_here)

    def _cancel_here(self, key: bytes) -> bool:
        found = [
            connection
            for connection in self._connections
            if any(hmac.compare_digest(own, key) for own in (connection.keys.short, connection.keys.long))
        ]
        for connection in found:
            connection.cancel()
        return bool(found)

    def _cancel_by_digest(self, digests: frozenset[bytes]) -> frozenset[bytes]:
        digest = self._cancels.keys.digest
        mine = {digest(key): one for one in self._connections for key in (one.keys.short, one.keys.long)}
        found = digests & mine.keys()
        for one in found:
            mine[one].cancel()
        return found

    def release(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._crowd.leave(connection)
        self._connections.discard(connection)
        self._live.discard(connection)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the gateway's task group. ``work`` must not raise."""
        self._running += 1
        self._quiet.clear()
        task = self._tasks.create_task(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._running -= 1
        if not self._running:
            self._quiet.set()

    # Running --------------------------------------------------------------------------------------------------------

    async def listen(self) -> list[asyncio.Server]:
        """Open the listeners, which the other processes have opened too. Raises ConfigError when one cannot be."""
        self._cancels.listen(self._cancel_here)
        postgres = self.config.listeners.postgres
        http, ssh, servers = self.config.listeners.http, self.config.listeners.ssh, []
        if postgres is not None:
            servers.append(await self._listen("postgres", postgres, [ALPN], Connection))
        if http is not None:
            servers.append(await self._listen("http", http, HTTP_ALPN, HttpConnection))
        if ssh is not None:
            await self.ssh.ready()
            servers.append(await self._bind("ssh", ssh.bind, self.ssh.connection))
        return servers

    async def _listen(
        self,
        name: str,
        listener: Listener,
        alpn: list[str],
        made: Callable[[Gateway, ssl.SSLContext | None], asyncio.BaseProtocol],
    ) -> asyncio.Server:
        """One door; ``alpn`` is what it speaks inside TLS, best first."""
        certificate = server_context(listener.tls, f"listeners.{name}") if listener.tls else None
        if certificate is not None:
            certificate.set_alpn_protocols(alpn)
        return await self._bind(name, listener.bind, lambda: made(self, certificate))

    async def _bind(self, name: str, bind: Address, made: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server:
        host, port = bind.host, bind.port
        try:
            return await asyncio.get_running_loop().create_server(
                made, host, port, backlog=512, reuse_address=True, reuse_port=True
            )
        except OSError as error:
            raise ConfigError([f"listeners.{name}: bind: {host}:{port}: {error.strerror or error}"]) from error

    async def sweep(self) -> None:
        """Look after the live sessions until cancelled, or until the book is lost: then nothing of it goes on.

        What is asked of the database is asked beside, each question for itself and never twice at once: a database that hangs
        holds up its own answers and nothing else.
        """
        questions = (
            self._end_killed,
            self._end_revoked,
            self.holding.poll,
            self._look_at_grants,
            partial(self._cancels.exchange, self._cancel_by_digest),
        )
        self._seen_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as asking:
            tasks = [asking.create_task(self._ask_again(question)) for question in questions]
            await self._watch()
            for task in tasks:
                task.cancel()
        self._end_all(f"the book cannot be written, so nothing may go on: {self.book.failed}")

    async def _ask_again(self, question: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(self.sweep_seconds)
            await question()

    async def _watch(self) -> None:
        """What needs no database, until the book is lost."""
        loop = asyncio.get_running_loop()
        stale_at = loop.time() + STALE_SECONDS
        heap = Heap()
        while not self.book.failed:
            await asyncio.sleep(self.sweep_seconds)
            self._end_expired()
            if loop.time() - self._seen_at > self.blind_seconds:
                self._end_on_tokens({live.token for live in self._live if live.token}, UNTOLD)
            self._check_grants()
            for live in list(self._live):
                _quietly(live.tick)
            self.http.tick()
            if loop.time() >= stale_at:
                stale_at = loop.time() + STALE_SECONDS
                self.facts.clear()
                heap.look()
                for live in list(self._live):
                    live.stale()
            await self._tell_guesses()

    async def _look_at_grants(self) -> None:
        await self.granted.look()
        self._check_grants()  # before another statement hears that no rule permits it

    def _check_grants(self) -> None:
        for live in list(self._live):
            live.check_grants()

    async def _tell_guesses(self) -> None:
        guessed = self._cancels.guesses.told()
        if guessed is None:
            return
        log.warning("cancel keys are guessed", client=guessed.address, why=str(guessed))
        with contextlib.suppress(LedgerError):  # the loop sees that the book is lost
            await self.book.guessed(guessed)

    def _end_expired(self) -> None:
        now = self.clock()
        for live in list(self._live):
            session = live.session
            if session is not None and session.identity.expires_at <= now:
                expired = datetime.fromtimestamp(session.identity.expires_at / 1e6, UTC).isoformat(timespec="seconds")
                live.end(f"your {_proof(session, 'token')} expired at {expired}; {_again(session)}")

    async def _end_killed(self) -> None:
        live = {one.session.id: one for one in self._live if one.session}
        if not live:
            return
        for kill in await self._rows.kills():
            found = live.get(kill.session)
            if found is not None:
                found.end(f"ended by {_without_name(kill.by)}: {cover_text(kill.reason)}")

    async def _end_revoked(self) -> None:
        """A session lives no longer than the token it was opened with."""
        asked = {live.token for live in self._live if live.session and live.token}
        now = asyncio.get_running_loop().time()
        try:
            gone = await lookout.ask(self._tokens.taken_back, asked) if asked else set()
        except SQLAlchemyError as error:
            log.error("revoked tokens cannot be read", why=str(error))
            return
        self._seen_at = now
        self._end_on_tokens(gone, "your {} was revoked")

    def _end_on_tokens(self, tokens: Collection[bytes], why: str) -> None:
        for live in list(self._live):
            if (session := live.session) and live.token in tokens:
                live.end(f"{why.format(_proof(session, GATEWAY_TOKEN))}; {_again(session)}")

    def _end_all(self, why: str) -> None:
        for live in list(self._live):
            live.end(why)
        for door in list(self._doors):
            door.stop()
        self.ssh.close()
        self.http.close()

    async def stop(self) -> None:
        """End every session with a word to its client, and wait until each is closed in the book."""
        self._stopping = True
        self._cancels.deaf()
        self._end_all("the gateway is stopping; connect again in a moment")
        if not self._running:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._quiet.wait()


def _proof(session: Session, token: str) -> str:
    """What a session stands on, as its client knows it."""
    return "sign-in" if session.browser else token


def _again(session: Session) -> str:
    """How its client goes on."""
    return "open the page again to sign in" if session.browser else "get a new one with `gatebook token` and connect again"


def _quietly(work: Callable[[], None]) -> None:
    """What is done for one session fails for one session: the sweep goes on, since all others depend on it."""
    try:
        work()
    except Exception:
        log.exception("a session could not be looked after")


def _without_name(by: str) -> str:
    """Who wanted a session ended, without a person's name: the book has it as a commitment, in the act that asked for it."""
    kind, _, _ = by.partition(":")
    return by if kind == "operator" else {"person": "a person", "agent": "an agent", "ci": "a job"}.get(kind, "somebody")


def bearer_of(config: Config) -> Bearer:
    """Where clients that come with OAUTHBEARER get their tokens."""
    listener = config.listeners.postgres or PostgresListener.model_construct()
    found = {one.name: one.issuer for one in config.identity.providers}
    issuer = found[listener.oauth_provider or config.identity.providers[0].name]
    place = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    return Bearer(place, listener.oauth_scope, always=listener.auth == "oauth")
