"""The target's side of a connection: bytes both ways, and whether the target takes more.

PostgreSQL sends 8 KiB at a time. Where much comes without having been asked for piece by piece, reading rests for a moment
after a small read, so that the kernel puts the pieces together: each read has its price in calls, compression and encryption.
After a larger one it rests until others had their turn (``reads.py``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gatebook.gateway.reads import Reads
from gatebook.protocols.relay import Ended, Side

if TYPE_CHECKING:
    from gatebook.gateway.connection import Connection

BUFFER_BYTES = 262_144
MUCH_BYTES = 131_072  # of an answer have come: more are to be expected
SMALL_BYTES = 32_768  # of one read
REST_SECONDS = 0.001


class Upstream(asyncio.BufferedProtocol):
    """Owned by one connection."""

    def __init__(self, connection: Connection, reads: Reads) -> None:
        self._connection: Connection | None = connection
        self._from, self._buffer = reads, reads.buffer()
        self._transport: asyncio.Transport | None = None
        self.full = False
        self._reads = True
        self._came = 0  # since the target was last written to
        self._rests = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The target is there."""
        self._reads = True
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        self._buffer = self._from.buffer()
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the target."""
        self._came += nbytes
        if self._came > MUCH_BYTES and self._reads and not self._rests and self._transport:
            self._rests = True
            self._transport.pause_reading()
            if nbytes < SMALL_BYTES:
                asyncio.get_running_loop().call_later(REST_SECONDS, self._rested)
            else:
                self._from.later(self._rested)
        if self._connection is not None:
            self._connection.from_target(bytes(self._buffer[:nbytes]))

    def connection_lost(self, _exc: Exception | None) -> None:
        """The target is gone."""
        self._transport = None
        if self._connection is not None:
            self._connection.signal(Ended(Side.SERVER, "the target closed the connection"))

    def _rested(self) -> None:
        self._rests = False
        if self._reads and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The target does not read: stop reading the client."""
        self.full = True
        if self._connection is not None:
            self._connection.flow()

    def resume_writing(self) -> None:
        """The target reads again."""
        self.full = False
        if self._connection is not None:
            self._connection.flow()

    def write(self, data: bytes) -> None:
        """Send to the target."""
        self._came = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def read(self, wanted: bool) -> None:
        """Go on reading the target, or stop."""
        if wanted is self._reads or self._transport is None or self._transport.is_closing():
            return
        self._reads = wanted
        if self._rests:
            return
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """Close, once what was written is sent, or after a while. What comes until then is nobody's."""
        self._connection = None
        if self._transport is not None:
            self._transport.close()
            asyncio.get_running_loop().call_later(5.0, self._transport.abort)
