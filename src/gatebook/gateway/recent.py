"""What was decided of a session's statements a moment ago: the same statement again is the same decision, and costs a look.

A decision is found by the very objects that were decided, not by values that look alike: the relay hands out the same deeds
for the same text only while role, search path and catalog are what they were (``protocols/postgres/relay.py``). It counts for
one session and one policy, while its grants reach as far as they did, and never past ``until``: the end of the identity's time
or the next whole minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatebook.gateway.book import Said
from gatebook.gateway.judge import Judge
from gatebook.model import Deed, Reach, Verdict

STATEMENTS = 512  # of a session at hand; one that has more begins anew


@dataclass(frozen=True, slots=True)
class Ruled:
    """One decision and all it was made of. ``said`` is what the book says of it each time, where it is a plain yes whose entry
    need not be durable; None where it is not.
    """

    judge: Judge
    deeds: tuple[Deed, ...]
    columns: frozenset[str]
    granted: Reach | None
    verdict: Verdict
    said: Said | None


class Recent:
    """Owned by one session, and of no use to another: who asks, and from where, is not in the key."""

    def __init__(self, most: int = STATEMENTS) -> None:
        self._most = most
        self._ruled: dict[int, Ruled] = {}

    def find(
        self, judge: Judge, deeds: tuple[Deed, ...], columns: frozenset[str], granted: Reach | None, now: int
    ) -> Ruled | None:
        """What was decided of these deeds, if all is as it was then."""
        ruled = self._ruled.get(id(deeds))
        if ruled is None or ruled.deeds is not deeds or ruled.judge is not judge:
            return None
        same = ruled.granted is granted and (ruled.columns is columns or ruled.columns == columns)
        return ruled if same and now < ruled.verdict.until else None

    def keep(self, ruled: Ruled) -> None:
        """Have it at hand; it holds its deeds, so that no others can come to have their identity."""
        if len(self._ruled) >= self._most:
            self._ruled.clear()
        self._ruled[id(ruled.deeds)] = ruled
