"""Who is at the door, and what is known of them: the token's proof, what they are granted, the salt of their commitments.

All of it comes from the database, so it is asked for in one thread, one after the other: each thread more would cost a login
more than the question does.
"""

from __future__ import annotations

from gatebook.access.grants import Live
from gatebook.gateway.book import Book
from gatebook.gateway.granted import Granted
from gatebook.identity.prove import Prover
from gatebook.model import Identity


class Proving:
    """Used from one event loop; the database from threads."""

    def __init__(self, prover: Prover, granted: Granted, book: Book) -> None:
        self._prover, self._granted, self._book = prover, granted, book

    async def prove(self, token: str, target: str, now: int, *, browser: bool = False) -> Identity:
        """Whom the token proves; a grant counts for the session that opens right after its approval.

        ``browser``: it came as the cookie of the target's own host. Raises IdentityError, and LedgerError when their salt
        cannot be kept.
        """
        found: list[Live | None] = []

        def learn(identity: Identity) -> None:
            found.append(self._granted.ask(identity, target))
            self._book.know(identity)

        if browser:
            identity = await self._prover.prove_browser(token, target, now, learn)
        else:
            identity = await self._prover.prove(token, now, learn)
        for live in found:
            self._granted.learn(identity, target, live)
        return identity
