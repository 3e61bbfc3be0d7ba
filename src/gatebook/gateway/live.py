"""A live session, of whichever protocol, as those see it who look after all of them."""

from __future__ import annotations

from typing import Protocol

from gatebook.model import Session


class Live(Protocol):
    """Something that is, or may become, a session. ``token`` is the digest of the gateway token that it stands on."""

    token: bytes | None

    @property
    def session(self) -> Session | None:
        """The session, once it is in the book."""
        ...

    def tick(self) -> None:
        """About once a second."""
        ...

    def stale(self) -> None:
        """Some seconds have passed: what was learnt of the target counts no more."""
        ...

    def check_grants(self) -> None:
        """A session that stands on a grant ends with it."""
        ...

    def end(self, why: str) -> None:
        """The gateway ends it; ``why`` is a sentence that its client may see."""
        ...
