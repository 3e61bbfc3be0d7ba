"""The preview of a PostgreSQL write: what its rows were and become, in a transaction of its own that is rolled back.

Only a target whose configuration says ``preview`` has any.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from gatebook.access.previews import Preview, Row
from gatebook.config import PostgresTarget
from gatebook.gateway import credentials
from gatebook.gateway.dial import binding, dial, say_once
from gatebook.gateway.holding import Place
from gatebook.gateway.preview import Patience
from gatebook.model import Action, Permit, Reach, Session
from gatebook.protocols.postgres import relay_preview
from gatebook.protocols.postgres.drafting import Tryable
from gatebook.protocols.postgres.reading import PREVIEW, PREVIEW_REACH
from gatebook.protocols.postgres.relay_preview import Tried
from gatebook.protocols.relay import Effect, Own, ToServer

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

OFF = "previews are not turned on for this target"


@dataclass(frozen=True, slots=True)
class RowsTrial:
    """Of one write. ``hears`` is told that it is being tried."""

    gateway: Gateway
    session: Session
    target: PostgresTarget
    place: Place
    tryable: Tryable
    hears: Callable[[], None]

    @property
    def why(self) -> str:
        """Why nothing of it may be tried."""
        return OFF if not self.target.preview else self.tryable.why

    def action(self, held: Action) -> Action:
        """Of the deeds that write."""
        deeds = (replace(deed, verb=PREVIEW, reach=PREVIEW_REACH) for deed in held.deeds if deed.reach is Reach.WRITE)
        return replace(held, deeds=tuple(deeds))

    def begun(self) -> None:
        """It is being tried now."""
        self.hears()

    async def run(self, permit: Permit, patience: Patience) -> Preview:
        """Try it. Raises GatebookError, OSError, and TimeoutError once nobody waits any more."""
        if self.tryable.draft is None or self.tryable.known is None:
            raise AssertionError("nothing to try, and no reason for that")
        gateway, line = self.gateway, _Line()
        try:
            async with patience.lasts():
                transport, _ = await dial(self.target, gateway.trust, lambda: line)
                try:
                    nonce = secrets.token_hex(16)
                    role, database = self.place.role, self.place.database
                    credential = credentials.postgres(self.target, role, database, binding(transport))
                    login = relay_preview.login(credential, self.session.id, nonce, gateway.stretched)
                    covering = gateway.desk.covering(self.session, self.target)
                    draft, known = self.tryable.draft, self.tryable.known
                    return _shown(await line.run(relay_preview.Preview(permit, draft, known, login, covering)))
                finally:
                    transport.close()
        except TimeoutError:
            if interrupt := line.abort():
                gateway.spawn(say_once(self.target, gateway.trust, interrupt))
            raise


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


def _shown(tried: Tried) -> Preview:
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
    )
