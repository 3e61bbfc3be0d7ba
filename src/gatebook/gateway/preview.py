"""Previews of held writes: decided, written down, run within limits. What is tried, and how, is the target's (``Trial``).

A preview is an action of Gatebook's: verb ``sql.preview`` or ``k8s.preview`` on what the write changes, asked of the policy as
the requester's, with an entry before it runs and one after. Whatever is wrong with one, people are asked all the same, with the
text alone and the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

import structlog

from gatebook.access.previews import Preview
from gatebook.errors import GatebookError, LedgerError
from gatebook.gateway.book import Book
from gatebook.gateway.desk import Desk
from gatebook.model import Action, Permit, Session
from gatebook.protocols.relay import Ask

SECONDS = 8.0  # for all of one: people wait for it before they are asked
AT_ONCE = 4  # of one process; whoever comes then has people asked about the text alone

BUSY = "too many previews are being made at this moment"
LATE = f"it was not done within {SECONDS:.0f} s"

log = structlog.get_logger("gatebook.preview")


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


class Trial(Protocol):
    """What of a write that is about to be held may be tried, and how."""

    @property
    def why(self) -> str:
        """Why nothing of it may be; "" where something may."""
        ...

    def action(self, held: Action) -> Action:
        """What it is to the policy."""
        ...

    def begun(self) -> None:
        """It is being tried now."""
        ...

    async def run(self, permit: Permit, patience: Patience) -> Preview:
        """Try it. Raises GatebookError, OSError, and TimeoutError once nobody waits any more."""
        ...


class Previews:
    """Of one process. Used from one event loop."""

    def __init__(self, desk: Desk, book: Book, clock: Callable[[], int]) -> None:
        self._desk, self._book, self._clock = desk, book, clock
        self._running = 0

    async def of(self, session: Session, ask: Ask, trial: Trial, patience: Patience) -> Preview:
        """What approvers may be shown. Raises LedgerError: then nothing may move."""
        why = trial.why or (BUSY if self._running >= AT_ONCE else "")
        if why:
            return Preview(why=why, at=self._clock())
        self._running += 1
        trial.begun()
        try:
            return await self._made(session, ask, trial, patience)
        finally:
            self._running -= 1

    async def _made(self, session: Session, ask: Ask, trial: Trial, patience: Patience) -> Preview:
        began = self._clock()
        permit = await self._desk.decide_preview(session, trial.action(ask.action))
        if not isinstance(permit, Permit):
            return Preview(why=f"the policy does not let it be tried: {permit}", at=began)
        try:
            made = await trial.run(permit, patience)
        except LedgerError:
            raise
        except TimeoutError:
            made = Preview(why=patience.over or LATE)
        except (GatebookError, OSError) as error:
            log.warning("no preview", session=session.id, why=str(error))
            made = Preview(why=str(error))
        ended = self._clock()
        made = replace(made, at=ended)
        await self._book.previewed(session, ask.action, made, (ended - began) // 1000)
        return made
