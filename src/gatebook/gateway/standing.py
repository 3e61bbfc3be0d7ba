"""What every session does alike, whichever protocol it speaks: it ends with its grant, and is closed in the book."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gatebook.errors import LedgerError
from gatebook.gateway.desk import Desk
from gatebook.model import Session

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

GRANT_ENDED = "your grant for this target has ended; ask for another with `gatebook grants request`"

log = structlog.get_logger("gatebook.gateway")


class Standing:
    """The grant that a session stands on, if it stands on one. Owned by the session."""

    def __init__(self, desk: Desk, session: Session, role: str) -> None:
        self._desk, self._session, self._role = desk, session, role
        self._granted = desk.granted(session.identity, session.target.name)

    def lost(self) -> str:
        """Why the session has to end, now that its grant is less than it was and no rule opens it without; "" otherwise."""
        granted = self._desk.granted(self._session.identity, self._session.target.name)
        less = self._granted is not None and (granted is None or granted.rank < self._granted.rank)
        self._granted = granted
        return GRANT_ENDED if less and not self._desk.still_open(self._session, self._role) else ""


async def close_in_book(gateway: Gateway, session: Session, why: str, received: int, sent: int) -> None:
    """Write down that a session is over, and how many bytes it had from its client and for it."""
    try:
        await gateway.book.closed(session, why, gateway.clock(), (received, sent))
    except LedgerError as error:
        log.error("session cannot be closed in the book", session=session.id, why=str(error))
    log.info("session closed", session=session.id, why=why)
