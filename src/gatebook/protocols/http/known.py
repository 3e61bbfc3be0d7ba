"""What the requests of one session meant when they came last: the same request again means the same, and costs a look.

A meaning is found by the whole request, each byte of its head and content among it, and counts only under the very terms that
it was made under. So nothing is kept that could mean something else; what is kept is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gatebook.model import Deed
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.covering.resolving import Resolved
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.reading import Reading

REQUESTS = 128  # of a session; one that has more begins anew
REQUEST_BYTES = 8_192  # of a head and its content: longer ones seldom come twice


@dataclass(frozen=True, slots=True)
class Meant:
    """A request as it was read, and all that is said of it each time it comes.

    ``deeds`` are decided about: those of the reading, with what tokens stand for in their facts. ``resolved`` is what goes on
    in the tokens' place, None where the content was not read. ``text`` is what a yes is bound to, and ``bound`` in place of the
    content, where that differs each time; ``plan`` covers what is shown
    of it, by any mask set that may hold. ``under`` is what else it rests on.
    """

    reading: Reading
    deeds: tuple[Deed, ...] = field(repr=False)
    resolved: Resolved | None
    text: str
    fault: str
    seen: str
    plan: Plan
    under: tuple[object, ...] = field(repr=False)
    bound: tuple[bytes, ...] | None = field(default=None, repr=False)


class Known:
    """Owned by one session, and of no use to another: who asks is not in the key."""

    def __init__(self) -> None:
        self._meant: dict[tuple[Request, bytes | None], Meant] = {}

    def find(self, request: Request, content: bytes | None, under: tuple[object, ...]) -> Meant | None:
        """What this very request meant under these very objects."""
        found = self._meant.get((request, content))
        if found is None or found.plan.tree.grown:
            return None
        return found if all(one is other for one, other in zip(found.under, under, strict=True)) else None

    def keep(self, request: Request, content: bytes | None, meant: Meant) -> None:
        """Have it at hand, unless it is long."""
        size = len(request.target) + sum(len(name) + len(value) for name, value in request.fields) + len(content or b"")
        if size > REQUEST_BYTES:
            return
        if len(self._meant) >= REQUESTS:
            self._meant.clear()
        self._meant[request, content] = meant
