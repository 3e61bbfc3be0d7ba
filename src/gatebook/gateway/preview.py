"""Previews of held writes: decided, written down, run on connections of their own, within limits.

A preview is an action of Gatebook's: verb ``sql.preview`` on what the write changes, asked of the policy as the requester's,
with an entry before it runs and one after. Only a target whose configuration says ``preview`` has any. Whatever is wrong with
one, people are asked all the same, with the text alone and the reason.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import structlog

from gatebook.access.previews import Preview, Row
from gatebook.config import PostgresTarget
from gatebook.errors import GatebookError, LedgerError
from gatebook.gateway import credentials
from gatebook.gateway.book import Book
from gatebook.gateway.desk import Desk
from gatebook.gateway.dial import Trust, binding, dial, say_once
from gatebook.gateway.holding import Place
from gatebook.model import Permit, Session
from gatebook.protocols.postgres import relay_preview
from gatebook.protocols.postgres.drafting import Tryable
from gatebook.protocols.postgres.relay_preview import Tried
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.relay import Ask, Effect, Own, ToServer

SECONDS = 8.0  # for all of one: people wait for it before they are asked
AT_ONCE = 4  # of one process; whoever comes then has people asked about the text alone

OFF = "previews are not turned on for this target"
BUSY = "too many previews are being made at this moment"
LATE = f"it was not done within {SECONDS:.0f} s"

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]

log = structlog.get_logger("gatebook.preview")


@dataclass(frozen=True, slots=True)
class Trial:
    """What of a write that is about to be held may be tried, and at which target."""

    target: PostgresTarget
    tryable: Tryable
    begun: Callable[[], None]  # hears that it is being tried


class Patience:
    """How long a preview is waited for: ``SECONDS``, or until whoever waits gives up. ``over`` says why, once they did."""

    def __init__(self, over: str = "") -> None:
        self.over = over
        self._timeout: asyncio.Timeout | None = None

    def end(self, why: str) -> None:
        """They gave up."""
        self.over = self.over or why
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def lasts(self) -> AsyncIterator[None]:
        """Raises TimeoutError when it is over."""
        try:
            async with asyncio.timeout(0 if self.over else SECONDS) as self._timeout:
                yield
        finally:
            self._timeout = None


@dataclass(frozen=True, slots=True)
class _Held:
    """What is tried, whose it is, as what it would run, and for how long somebody waits."""

    session: Session
    ask: Ask
    tryable: Tryable
    place: Place
    target: PostgresTarget
    patience: Patience


class Previews:
    """Of one process. Used from one event loop."""

    def __init__(
        self, desk: Desk, book: Book, trust: Trust, stretched: Stretched, clock: Callable[[], int], spawn: Spawn
    ) -> None:
        self._desk, self._book, self._clock, self._spawn = desk, book, clock, spawn
        self._trust, self._stretched = trust, stretched
        self._running = 0

    async def of(self, session: Session, ask: Ask, place: Place, trial: Trial, patience: Patience) -> Preview:
        """What approvers may be shown. Raises LedgerError: then nothing may move."""
        held = _Held(session, ask, trial.tryable, place, trial.target, patience)
        why = OFF if not held.target.preview else held.tryable.why or (BUSY if self._running >= AT_ONCE else "")
        if why:
            return Preview(why=why, at=self._clock())
        self._running += 1
        trial.begun()
        try:
            return await self._made(held)
        finally:
            self._running -= 1

    async def _made(self, held: _Held) -> Preview:
        began = self._clock()
        permit = await self._desk.decide_preview(held.session, held.ask)
        if not isinstance(permit, Permit):
            return Preview(why=f"the policy does not let it be tried: {permit}", at=began)
        try:
            tried = await self._tried(held, permit)
        except LedgerError:
            raise
        except (GatebookError, OSError) as error:
            log.warning("no preview", session=held.session.id, why=str(error))
            tried = Tried(why=str(error))
        ended = self._clock()
        made = _shown(tried, ended)
        await self._book.previewed(held.session, held.ask.action, made, (ended - began) // 1000)
        return made

    async def _tried(self, held: _Held, permit: Permit) -> Tried:
        if held.tryable.draft is None or held.tryable.known is None:
            raise AssertionError("nothing to try, and no reason for that")
        line = _Line()
        try:
            async with held.patience.lasts():
                transport, _ = await dial(held.target, self._trust, lambda: line)
                try:
                    nonce = secrets.token_hex(16)
                    credential = credentials.postgres(held.target, held.place.role, held.place.database, binding(transport))
                    login = relay_preview.login(credential, held.session.id, nonce, self._stretched)
                    covering = self._desk.covering(held.session, held.target)
                    draft, known = held.tryable.draft, held.tryable.known
                    return await line.run(relay_preview.Preview(permit, draft, known, login, covering))
                finally:
                    transport.close()
        except TimeoutError:
            if interrupt := line.abort():
                self._spawn(say_once(held.target, self._trust, interrupt))
            return Tried(why=held.patience.over or LATE)


class _Line(asyncio.Protocol):
    """The connection of one preview."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._preview: relay_preview.Preview | None = None
        self._tried: asyncio.Future[Tried] = asyncio.get_running_loop().create_future()

    async def run(self, made: relay_preview.Preview) -> Tried:
        """Have it run to its end."""
        self._preview = made
        self._send(made.start())
        return await self._tried

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The target is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the target."""
        if self._preview is not None:
            self._send(self._preview.feed(data))

    def connection_lost(self, _exc: Exception | None) -> None:
        """The target is gone."""
        if self._preview is not None:
            self._send(self._preview.end("the target closed the connection"))

    def abort(self) -> bytes:
        """Nobody waits for it any more: the target ends the transaction with the connection.

        While it runs a statement it does not see that, so what is returned has that stopped, over a connection of its own.
        """
        if self._transport is not None:
            self._transport.abort()
        return self._preview.interrupt if self._preview is not None else b""

    def _send(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ToServer | Own) and self._transport is not None and not self._transport.is_closing():
                self._transport.write(effect.data)
        if self._preview is not None and self._preview.tried is not None and not self._tried.done():
            self._tried.set_result(self._preview.tried)


def _shown(tried: Tried, at: int) -> Preview:
    rows = tuple(Row(before=one.before, after=one.after, changed=one.changed) for one in tried.sample)
    return Preview(
        why=tried.why,
        rows=tried.bond.rows if tried.bond is not None else 0,
        columns=tried.columns,
        more_columns=tried.more_columns,
        keys=tried.keys,
        sample=rows,
        follows=tried.follows,
        masked=tried.masked,
        held_to=tried.bond.conditions() if tried.bond is not None else {},
        at=at,
    )
