"""How much is read from targets at once, so that neither time nor memory is wasted; one for each process.

A large read costs the fewest calls. But what of it a client does not take stays here until it does, and a client may never: so
once what clients left amounts to ``LEFT_BYTES``, reads are small until they took some of it. Then a session whose client reads
nothing costs little more than its sockets.

Left to itself, the loop reads a socket up to 32 times before it turns to anything else, so that a few sessions with large
answers would keep everybody, and what looks after live sessions, waiting for seconds on a busy machine. So where much comes, a
session reads once and then queues here; ``TURN_READS`` of them have their next read in each turn of the loop, and none while
the recordings of this process are ``behind``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gatebook.protocols.postgres import native

LARGE_BYTES = 245_760  # what is read and copied stays below what the allocator maps by itself (``memory.py``)
TURN_BYTES = 65_536  # where Python covers rows: others wait while it does
SMALL_BYTES = 8_192  # as PostgreSQL sends it
LEFT_BYTES = 2_097_152  # of all sessions of this process, before reads are small
TURN_READS = 4  # of sessions with large answers, in one turn of the loop
BEHIND_SECONDS = 0.005  # until it is looked again whether recordings are behind


class Reads:
    """Used from one event loop, which reads one socket at a time: so all share one buffer."""

    def __init__(self, size: int = LARGE_BYTES, behind: Callable[[], bool] = lambda: False) -> None:
        self._buffer = memoryview(bytearray(size))
        self._behind = behind
        self._queue: deque[Callable[[], None]] = deque()
        self._turning = False
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

    def later(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` when it is this session's turn to read again."""
        self._queue.append(resume)
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._behind():
            loop.call_later(BEHIND_SECONDS, self._turn)
            return
        for _ in range(min(TURN_READS, len(self._queue))):
            self._queue.popleft()()
        self._turning = bool(self._queue)
        if self._turning:
            loop.call_soon(self._turn)


class Reader(asyncio.BufferedProtocol):
    """Hears what is read as ``data_received``, as an ``asyncio.Protocol`` would.

    Handed a place to read to, uvloop's TLS asks the allocator for no 256 KiB for each read, which it would cut to what came.
    """

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go, until they are told: the loop reads one socket at a time, so all share it."""
        return _shared

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes are there."""
        self.data_received(bytes(_shared[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes of the other side."""
        raise NotImplementedError


_shared = memoryview(bytearray(LARGE_BYTES))


def reads(behind: Callable[[], bool]) -> Reads:
    """For this process, by which twin covers rows."""
    return Reads(LARGE_BYTES if native.crate is not None else TURN_BYTES, behind)
