"""Cancel keys that nobody has: counted, and past a limit no more of them are looked at.

Who sends a wrong key may have come too late, or guesses. A short key (protocol 3.0) holds 48 random bits, of which a driver
shows 16 as its process id; so with ``ALL`` guesses a minute it takes years to hit somebody's statement. Long keys cannot be
guessed and are not counted. Addresses are counted by the gateway as a whole (``tally.py``), those of IPv6 by their network of
64 bits, which one machine may have to itself; a key for another replica counts as wrong, since nobody here can tell.

Nothing is delayed: whoever guesses waits for no answer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from gatebook.gateway.tally import Tally

EACH, ALL = 60, 6_000  # wrong short keys a minute, from one address and in all; a pool that is shut down stays below
MINUTE = 60_000_000  # µs


@dataclass(frozen=True, slots=True)
class Guessed:
    """Cancel requests of this process that were not looked at, within a minute; ``address`` is the first one's."""

    address: str
    dropped: int

    def __str__(self) -> str:
        return (
            f"{self.dropped} cancel requests were not looked at: more than {EACH} from one address, or {ALL} in all, had come"
            " within a minute with keys that no session has"
        )


class Guesses:
    """Counts for one process, which is ``row`` of the ``tally``; used from one event loop. ``clock`` gives µs."""

    def __init__(self, tally: Tally, row: int, clock: Callable[[], int]) -> None:
        self._tally, self._row, self._clock = tally, row, clock
        self._dropped, self._first, self._told = 0, "", 0

    @property
    def _minute(self) -> int:
        return self._clock() // MINUTE & 0xFFFFFFFF

    def bucket(self, address: str) -> int:
        """Where this address is counted."""
        return self._tally.bucket(_network(address))

    def allow(self, address: str) -> bool:
        """Whether a short key from there is looked at."""
        minute = self._minute
        if self._tally.wrong_from(self.bucket(address), minute) < EACH and self._tally.wrong(minute) < ALL:
            return True
        self._first = self._first or address
        self._dropped += 1
        return False

    def missed(self, bucket: int) -> None:
        """Nobody has the key."""
        self._tally.missed(self._row, bucket, self._minute)

    def told(self) -> Guessed | None:
        """What is to be told to operators and book; once a minute at most."""
        if not self._dropped or self._minute == self._told:
            return None
        found, self._told = Guessed(self._first, self._dropped), self._minute
        self._dropped, self._first = 0, ""
        return found


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4 or found.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))
