"""What live grants give, at hand for every decision: one query a quarter of a second, for all sessions of this process.

A grant that ended by itself gives nothing from that moment on; one that was revoked, from the next look on. When the database
cannot be read, nothing is granted; nor is it once a look has had no answer for ``BLIND_MICROSECONDS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gatebook.access.grants import Grants, Live
from gatebook.errors import GatebookError
from gatebook.gateway import lookout
from gatebook.model import Identity, Reach

BLIND_MICROSECONDS = 5_000_000

log = structlog.get_logger("gatebook.granted")


class Granted:
    """Used from one event loop; the database from its threads."""

    def __init__(self, grants: Grants, clock: Callable[[], int]) -> None:
        self._grants, self._clock = grants, clock
        self._held: dict[tuple[str, str, str], Live] = {}
        self._answered_at = clock()  # when the last look that was answered began
        self._learnt: dict[tuple[str, str, str], Live | None] = {}  # since the last look began

    def reach(self, identity: Identity, target: str) -> Reach | None:
        """The furthest reach that this identity is granted on this target now."""
        live = self._held.get((identity.issuer, identity.subject, target))
        if live is None:  # as mostly
            return None
        now = self._clock()
        if now >= live.until or now - self._answered_at > BLIND_MICROSECONDS:
            return None
        return live.reach

    async def look(self) -> None:
        """Ask the database what everybody holds."""
        now, self._learnt = self._clock(), {}
        try:
            found = await lookout.ask(self._grants.all_held, now)
        except GatebookError as error:
            log.error("grants cannot be read, so none is live", why=str(error))
            found = {}
        self._held, self._answered_at = found, now
        for key, live in self._learnt.items():  # asked for after this look began
            self._hold(key, live)

    def ask(self, identity: Identity, target: str) -> Live | None:
        """What the database says that one identity holds now. Blocks: call it in a thread, and ``learn`` the answer."""
        try:
            return self._grants.held(identity.issuer, identity.subject, target, self._clock())
        except GatebookError as error:
            log.error("grants cannot be read, so none is live", why=str(error))
            return None

    def learn(self, identity: Identity, target: str, live: Live | None) -> None:
        """Take an answer in: a grant counts for the session that opens right after its approval."""
        key = (identity.issuer, identity.subject, target)
        self._learnt[key] = live
        self._hold(key, live)

    def _hold(self, key: tuple[str, str, str], live: Live | None) -> None:
        if live is None:
            self._held.pop(key, None)
        else:
            self._held[key] = live

    async def use(self, identity: Identity, target: str, session: str) -> None:
        """Write down that a session stands on this identity's grants. Raises LedgerError or AccessError."""
        if self.reach(identity, target) is not None:
            await asyncio.to_thread(self._grants.use, identity, target, session, self._clock())
