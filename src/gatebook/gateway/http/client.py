"""The client's side of an exchange, as the exchange sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gatebook.protocols.http.message import Data, End, Response

if TYPE_CHECKING:
    from gatebook.gateway.http.exchange import Exchange


class Client(Protocol):
    """Of one exchange, whichever version of HTTP carries it."""

    @property
    def full(self) -> bool:
        """Whether the client does not take what was said."""
        ...

    def proved(self) -> None:
        """It showed a token that is good."""
        ...

    def respond(self, response: Response, length: int | None) -> None:
        """Say the head of the answer."""
        ...

    def proceed(self) -> None:
        """Have it send its content."""
        ...

    def say(self, message: Data | End) -> None:
        """Say what belongs to the answer."""
        ...

    def push(self) -> None:
        """One write for all that was said."""
        ...

    def cut(self, why: str) -> None:
        """The answer will not be complete, and must not look so."""
        ...

    def done(self, exchange: Exchange) -> None:
        """The exchange is over."""
        ...

    def flow(self) -> None:
        """Whether more of the request is wanted may have changed."""
        ...
