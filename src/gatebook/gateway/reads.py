"""How much is read from a target at once, so that neither time nor memory is wasted; one for each process.

A large read costs the fewest calls. But what of it a client does not take stays here until it does, and a client may never: so
once what clients left amounts to ``LEFT_BYTES``, reads are small until they took some of it. Then a session whose client reads
nothing costs little more than its sockets.
"""

from __future__ import annotations

from gatebook.protocols.postgres import native

LARGE_BYTES = 262_144
TURN_BYTES = 65_536  # where Python covers rows: others wait while it does
SMALL_BYTES = 8_192  # as PostgreSQL sends it
LEFT_BYTES = 2_097_152  # of all sessions of this process, before reads are small


class Reads:
    """Used from one event loop, which reads one socket at a time: so all share one buffer."""

    def __init__(self, size: int = LARGE_BYTES) -> None:
        self._buffer = memoryview(bytearray(size))
        self._left: dict[object, int] = {}
        self._all = 0

    def buffer(self) -> memoryview:
        """Where the next read may go, until then."""
        return self._buffer if self._all < LEFT_BYTES else self._buffer[:SMALL_BYTES]

    def left(self, client: object, size: int) -> None:
        """So much a client did not take yet."""
        self._all += size - self._left.pop(client, 0)
        if size:
            self._left[client] = size


def reads() -> Reads:
    """For this process, by which twin covers rows."""
    return Reads(LARGE_BYTES if native.crate is not None else TURN_BYTES)
