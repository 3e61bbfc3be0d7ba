"""Rows of sessions and actions, written behind the data path and read by ``gatebook sessions``.

The ledger is the truth; these are for looking at. They are written in batches by one thread, so that no statement waits for
the database, and at most ``WAITING`` of them wait: past it the oldest action rows are dropped and the loss is said.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gatebook.db import writing
from gatebook.gateway import store
from gatebook.model import Action, Ruling, Session, Verdict
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
        self._waiting: deque[Write] = deque(maxlen=WAITING)
        self._counts: dict[str, Counts] = {}

    def opened(self, session: Session, role: str) -> None:
        """A session began."""
        self._counts[session.id] = Counts()
        self._waiting.append(partial(store.open_session, session=session, role=role, process=self._process))

    def decided(self, session: Session, action: Action, verdict: Verdict, shown: str, decision: str, now: int) -> None:
        """An action was decided; one that was held is decided again once people said yes."""
        self._counts.setdefault(session.id, Counts()).decided(action.seq, verdict.ruling)
        row = partial(
            store.add_action, session=session.id, action=action, verdict=verdict, text_=shown, decision=decision, at=now
        )
        self._waiting.append(row)

    def answered(self, session: Session, answer: Answered) -> None:
        """An action was answered."""
        status, rows = answer.status, answer.rows
        done = partial(store.finish_action, session=session.id, seq=answer.action.seq, status=status, rows=rows)
        self._waiting.append(done)

    def closed(self, session: Session, reason: str, now: int, sizes: tuple[int, int]) -> None:
        """A session is over."""
        found = self._counts.pop(session.id, Counts())
        counts = found.actions, found.refused
        row = partial(store.close_session, session=session.id, at=now, reason=reason, counts=counts, sizes=sizes)
        self._waiting.append(row)

    async def kills(self) -> list[Kill]:
        """The sessions that somebody wants ended and that are open."""
        try:
            return await asyncio.to_thread(self._kills)
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
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not batch:
            return
        try:
            await asyncio.to_thread(self._write, batch)
        except SQLAlchemyError as error:
            log.error("rows of sessions were not kept", rows=len(batch), why=str(error))

    def _write(self, batch: list[Write]) -> None:
        with writing(self._engine) as connection:
            for write in batch:
                write(connection)
