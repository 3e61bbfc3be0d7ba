"""Who is at the door, and what is known of them: the token's proof, what they are granted, the salt of their commitments.

All of it comes from the database, so it is asked for in one thread, one after the other: each thread more would cost a login
more than the question does.
"""

from __future__ import annotations

from gatebook.access.grants import Live
from gatebook.gateway.book import Book
from gatebook.gateway.granted import Granted
from gatebook.identity.certificates import Proven
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
        learning = _Learning(self._granted, self._book, target)
        if browser:
            identity = await self._prover.prove_browser(token, target, now, learning.learn)
        else:
            identity = await self._prover.prove(token, now, learning.learn)
        learning.done(identity)
        return identity

    async def vouch(self, identity: Identity, now: int, seconds: int) -> str:
        """A gateway token for somebody who signed in just now, which is told to nobody. Raises IdentityError."""
        return await self._prover.vouch(identity, now, seconds)

    async def prove_certificate(self, blob: bytes, target: str, now: int) -> Proven:
        """The same of a certificate of SSH, whose signature and bearer were checked."""
        learning = _Learning(self._granted, self._book, target)
        proven = await self._prover.prove_certificate(blob, now, learning.learn)
        learning.done(proven.identity)
        return proven


class _Learning:
    """What is learnt of an identity in the thread that asks the database, and told to the loop behind it."""

    def __init__(self, granted: Granted, book: Book, target: str) -> None:
        self._granted, self._book, self._target = granted, book, target
        self._found: list[Live | None] = []

    def learn(self, identity: Identity) -> None:
        """In the thread."""
        self._found.append(self._granted.ask(identity, self._target))
        self._book.know(identity)

    def done(self, identity: Identity) -> None:
        """In the loop."""
        for live in self._found:
            self._granted.learn(identity, self._target, live)
