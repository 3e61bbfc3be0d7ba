"""How many connections there may be: those that proved who they are, and apart from them those that did not yet.

Who proves nothing costs nothing to make, so it must not take the place of sessions: it has places of its own, and one address
only a few of these. The limits hold for all processes of the gateway together; each looks after its own connections.
"""

from __future__ import annotations

from collections.abc import Hashable

from gatebook.gateway.tally import Tally

EACH_ADDRESS = 64  # connections that prove nothing yet; a pool that opens all of its connections at once has room


class Crowd:
    """Counts connections of one process, which is ``row`` of the ``tally``; used from one event loop.

    ``places`` are for sessions, and as many again for who is at the door.
    """

    def __init__(self, places: int, each_address: int = EACH_ADDRESS, tally: Tally | None = None, row: int = 0) -> None:
        self._places, self._each = places, each_address
        self._tally, self._row = tally or Tally(row + 1), row
        self._at_the_door: dict[Hashable, int] = {}
        self._inside: set[Hashable] = set()

    def come(self, connection: Hashable, address: str) -> str:
        """A connection is at the door. Says why it cannot stay, empty if it can."""
        bucket = self._tally.bucket(address)
        with self._tally.locked():
            if self._tally.from_address(bucket) >= self._each:
                return f"{self._each} connections from your address have not proved who they are yet; try again in a moment"
            if self._tally.door >= self._places:
                return "too many connections have not proved who they are yet; try again in a moment"
            self._tally.at_the_door(self._row, bucket, 1)
        self._at_the_door[connection] = bucket
        return ""

    def enter(self, connection: Hashable) -> str:
        """It proved who it is, so its place at the door is free. Says why it cannot stay, empty if it can."""
        self._leave_the_door(connection)
        with self._tally.locked():
            if self._tally.sessions >= self._places:
                return f"all {self._places} sessions of the gateway are taken; try again in a moment"
            self._tally.session(self._row, 1)
        self._inside.add(connection)
        return ""

    def rename(self, before: Hashable, after: Hashable) -> None:
        """Whoever stands at the door is known by another name from now on."""
        if before in self._at_the_door:
            self._at_the_door[after] = self._at_the_door.pop(before)

    def proved(self, connection: Hashable) -> None:
        """It proved who it is, and is one of the connections of a session that has its place already."""
        self._leave_the_door(connection)

    def leave(self, connection: Hashable) -> None:
        """It is gone, wherever it was."""
        self._leave_the_door(connection)
        if connection in self._inside:
            self._inside.discard(connection)
            self._tally.session(self._row, -1)

    def _leave_the_door(self, connection: Hashable) -> None:
        bucket = self._at_the_door.pop(connection, None)
        if bucket is not None:
            self._tally.at_the_door(self._row, bucket, -1)
