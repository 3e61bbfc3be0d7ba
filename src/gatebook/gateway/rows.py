"""Rows of sessions and actions, written behind the data path and read by ``gatebook sessions``.

The ledger is the truth; these are for looking at. They are written in batches by one thread, so that no statement waits for
the database, and at most ``WAITING`` actions wait: past it further ones are dropped and the loss is said. An action that is
answered before its row is written costs one row, not two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.db import writing
from gatebook.gateway import lookout, store
from gatebook.model import Action, Ruling, Session
from gatebook.protocols.relay import Answered

FLUSH_SECONDS = 0.1
WAITING = 50_000

log = structlog.get_logger("gatebook.rows")

Write = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Kill:
    """Somebody wants a session ended."""

    session: str
    by: str
    reason: str


@dataclass(slots=True)
class Counts:
    """How many actions a session had, and how many of them did not go. ``held`` are those that people have not decided yet."""

    actions: int = 0
    refused: int = 0
    held: set[int] = field(default_factory=set)

    def decided(self, seq: int, ruling: Ruling) -> None:
        """One action's ruling: a second one after a yes takes the first one's place."""
        if seq in self.held:
            self.held.discard(seq)
            self.refused -= 1
        self.actions = max(self.actions, seq)
        self.refused += ruling in (Ruling.BLOCK, Ruling.APPROVE)
        if ruling is Ruling.APPROVE:
            self.held.add(seq)


class Rows:
    """Queues rows of one process (``replica/process``) and writes them. Used from one event loop; the database from threads."""

    def __init__(self, engine: Engine, process: str = "1/1") -> None:
        self._engine, self._process = engine, process
        self._opened: list[Write] = []
        self._actions: dict[tuple[str, int], store.ActionValues] = {}
        self._finished: list[store.FinishedValues] = []
        self._closed: list[Write] = []
        self._counts: dict[str, Counts] = {}
        self._lost = 0

    def opened(self, session: Session, role: str) -> None:
        """A session began."""
        self._counts[session.id] = Counts()
        self._opened.append(partial(store.open_session, session=session, role=role, process=self._process))

    def decided(self, action: Action, ruling: Ruling, said: store.Decided, shown: str, decision: str, now: int) -> None:
        """An action was decided; one that was held is decided again once people said yes."""
        counts = self._counts.get(action.session)
        if counts is None:
            counts = self._counts[action.session] = Counts()
        counts.decided(action.seq, ruling)
        if len(self._actions) >= WAITING:
            self._lost += 1
            return
        row = store.ActionValues(action.session, action.seq, action.step, said, shown, decision, now)
        self._actions[action.session, action.seq] = row

    def passed(self, session: str, row: store.ActionValues) -> None:
        """An action that the policy let go was answered before anything was noted of it."""
        counts = self._counts.get(session)
        if counts is None:
            counts = self._counts[session] = Counts()
        counts.actions = max(counts.actions, row.seq)
        if len(self._actions) >= WAITING:
            self._lost += 1
        else:
            self._actions[session, row.seq] = row

    def answered(self, session: Session, answer: Answered) -> None:
        """An action was answered: where its own row still waits, that says so too."""
        row = self._actions.get((session.id, answer.action.seq))
        if row is not None:
            row.status, row.rows = answer.status, answer.rows
        elif len(self._finished) < WAITING:
            self._finished.append((answer.status, answer.rows, session.id, answer.action.seq))
        else:
            self._lost += 1

    def closed(self, session: Session, reason: str, now: int, sizes: tuple[int, int]) -> None:
        """A session is over."""
        found = self._counts.pop(session.id, Counts())
        counts = found.actions, found.refused
        self._closed.append(partial(store.close_session, session=session.id, at=now, reason=reason, counts=counts, sizes=sizes))

    async def kills(self) -> list[Kill]:
        """The sessions that somebody wants ended and that are open."""
        try:
            return await lookout.ask(self._kills)
        except SQLAlchemyError as error:
            log.error("kill requests cannot be read", why=str(error))
            return []

    def _kills(self) -> list[Kill]:
        with self._engine.connect() as connection:
            return [Kill(*found) for found in store.kills_requested(connection)]

    async def run(self) -> None:
        """Write what waits, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        except asyncio.CancelledError:
            await asyncio.shield(self.flush())
            raise

    async def flush(self) -> None:
        """Write what waits now; a fault is told to the operator and costs these rows, never a session."""
        batch = _Batch(self._opened, list(self._actions.values()), self._finished, self._closed)
        self._opened, self._actions, self._finished, self._closed = [], {}, [], []
        lost, self._lost = self._lost, 0
        if lost:
            log.error("rows of actions were not kept: the database cannot keep up", rows=lost)
        if not (batch.opened or batch.actions or batch.finished or batch.closed):
            return
        try:
            await asyncio.to_thread(self._write, batch)
        except SQLAlchemyError as error:
            log.error("rows of sessions were not kept", rows=len(batch.actions), why=str(error))

    def _write(self, batch: _Batch) -> None:
        with writing(self._engine) as connection:
            for write in batch.opened:
                write(connection)
            store.add_actions(connection, batch.actions)
            store.finish_actions(connection, batch.finished)
            for write in batch.closed:
                write(connection)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction writes, in this order."""

    opened: list[Write]
    actions: list[store.ActionValues]
    finished: list[store.FinishedValues]
    closed: list[Write]
