"""How many connections there may be: those that proved who they are, and apart from them those that did not yet.

Who proves nothing costs nothing to make, so it must not take the place of sessions: it has places of its own, and one address
only a few of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

EACH_ADDRESS = 64  # connections that prove nothing yet; a pool that opens all of its connections at once has room


class Crowd:
    """Counts connections. Used from one event loop. ``places`` are for sessions, and as many again for who is at the door."""

    def __init__(self, places: int, each_address: int = EACH_ADDRESS) -> None:
        self._places, self._each = places, each_address
        self._at_the_door: dict[Hashable, str] = {}
        self._by_address: Counter[str] = Counter()
        self._inside: set[Hashable] = set()

    def come(self, connection: Hashable, address: str) -> str:
        """A connection is at the door. Says why it cannot stay, empty if it can."""
        if self._by_address[address] >= self._each:
            return f"{self._each} connections from your address have not proved who they are yet; try again in a moment"
        if len(self._at_the_door) >= self._places:
            return "too many connections have not proved who they are yet; try again in a moment"
        self._at_the_door[connection] = address
        self._by_address[address] += 1
        return ""

    def enter(self, connection: Hashable) -> str:
        """It proved who it is, so its place at the door is free. Says why it cannot stay, empty if it can."""
        self._leave_the_door(connection)
        if len(self._inside) >= self._places:
            return f"all {self._places} sessions of the gateway are taken; try again in a moment"
        self._inside.add(connection)
        return ""

    def leave(self, connection: Hashable) -> None:
        """It is gone, wherever it was."""
        self._leave_the_door(connection)
        self._inside.discard(connection)

    def _leave_the_door(self, connection: Hashable) -> None:
        address = self._at_the_door.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
