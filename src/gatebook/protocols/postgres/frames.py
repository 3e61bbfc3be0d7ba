"""A stream of bytes cut into PostgreSQL's frames: untyped packets before the startup packet, typed messages behind it.

At most one unfinished frame is kept. A length outside of the limits raises ``WireError`` before anything of its frame is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from struct import Struct

from gatebook.errors import WireError

STARTUP_BYTES = 10_000  # the server's own MAX_STARTUP_PACKET_LENGTH
ROW_BYTES = 1_073_741_824  # the server itself makes no longer row
COPY_BYTES = 1_073_741_823  # nor takes a longer message of COPY data
SMALL_BYTES = 4096  # reads below it are kept together, so that a message in very small ones costs no object for each

_U32 = Struct("!I")
_HEAD = Struct("!cI")


class Frames:
    """The unfinished tail of one direction of a stream. Owned by one relay.

    What is being read stands in ``_data``, unread from ``_at`` on; what came behind it is kept as it came in ``_more``, whose
    first piece is used up to ``_from``. Only a message that lies across pieces is joined, once it is whole: so no large read is
    copied for the half message that it begins with, and a large message once.

    With ``parts``, COPY data past the limit is given in parts as it comes, each a message of its own: where one of them ends
    means nothing to whoever reads it.
    """

    def __init__(self, limit: int, *, parts: bool = False) -> None:
        self.limit, self._parts, self._left = limit, parts, 0
        self._data, self._at = b"", 0
        self._more: deque[bytes | bytearray] = deque()
        self._from = self._behind = 0

    def __len__(self) -> int:
        return len(self._data) - self._at + self._behind

    def add(self, data: bytes) -> None:
        """Append what came from the socket."""
        if self._at == len(self._data) and not self._more:
            self._data, self._at = data, 0
            return
        self._behind += len(data)
        if len(data) >= SMALL_BYTES:
            self._more.append(data)
        elif self._more and isinstance(last := self._more[-1], bytearray):
            last += data
        else:
            self._more.append(bytearray(data))

    def _has(self, count: int) -> bool:
        """Whether so many bytes are there; then they stand in ``_data``."""
        here = len(self._data) - self._at
        if here >= count:
            return True
        if here + self._behind < count:
            return False
        if here:
            self._join(count - here)
        else:
            first = self._more.popleft()
            self._data, self._at = bytes(first), self._from
            self._behind -= len(first) - self._from
            self._from = 0
        return self._has(count)

    def _join(self, wanted: int) -> None:
        """Put so many bytes more behind those in ``_data``."""
        pieces: list[bytes | bytearray] = [self._data[self._at :]]
        self._behind -= wanted
        while wanted:
            first = self._more[0]
            piece = first[self._from : self._from + wanted] if self._from or len(first) > wanted else first
            pieces.append(piece)
            wanted -= len(piece)
            self._from += len(piece)
            if self._from == len(first):
                self._more.popleft()
                self._from = 0
        self._data, self._at = b"".join(pieces), 0

    def packet(self) -> bytes | None:
        """Cut one untyped start packet, without its length; None while it is not whole."""
        if not self._has(4):
            return None
        (length,) = _U32.unpack_from(self._data, self._at)
        if not 8 <= length <= STARTUP_BYTES:
            raise WireError(f"startup packet length {length} outside 8..{STARTUP_BYTES}")
        if not self._has(length):
            return None
        start, self._at = self._at + 4, self._at + length
        return self._data[start : self._at]

    def message(self) -> tuple[bytes, bytes] | None:
        """Cut one typed message as (type, body); None while it is not whole."""
        if self._left:
            return self._part()
        data, at = self._data, self._at
        size = len(data) - at
        if size >= _HEAD.size:  # as nearly always, it stands there whole
            kind, length = _HEAD.unpack_from(data, at)
            if 4 <= length <= self.limit and length < size:
                self._at = end = at + 1 + length
                return kind, data[at + _HEAD.size : end]
        if not self._has(_HEAD.size):
            return None
        kind, length = self._head()
        if length > self.limit:
            self._at, self._left = self._at + _HEAD.size, length - 4
            return self._part()
        if not self._has(length + 1):
            return None
        start, self._at = self._at + _HEAD.size, self._at + 1 + length
        return kind, self._data[start : self._at]

    def _part(self) -> tuple[bytes, bytes] | None:
        if not self._has(1):
            return None
        part = self._data[self._at : self._at + self._left]
        self._at, self._left = self._at + len(part), self._left - len(part)
        return b"d", part

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Cut every whole message."""
        while (found := self.message()) is not None:
            yield found

    def rest(self) -> tuple[bytes, int]:
        """What stands in one piece, and where in it the next message begins, for one who reads many at once; see ``skip``.

        There is more when the next message does not stand in it whole.
        """
        if self._more and self._has(_HEAD.size):
            self._has(self._head()[1] + 1)
        return self._data, self._at

    def settle(self) -> None:
        """Nothing more can be read for now: of what was read, let go."""
        if self._at > SMALL_BYTES:
            self._data, self._at = self._data[self._at :], 0

    def skip(self, end: int) -> bool:
        """All up to there in what ``rest`` gave was read; whether that was anything."""
        before, self._at = self._at, end
        return end > before

    def _head(self) -> tuple[bytes, int]:
        kind, length = _HEAD.unpack_from(self._data, self._at)
        if 4 <= length <= (COPY_BYTES if self._parts and kind == b"d" else self.limit):
            return kind, length
        if kind == b"D" and length <= ROW_BYTES:
            raise WireError(f"a row of {length} bytes: the gateway takes {self.limit}; select fewer columns or parts of them")
        raise WireError(f"message {kind!r}: length {length} outside 4..{self.limit}")
