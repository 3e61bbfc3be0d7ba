"""What of an answer may leave before its entry would survive a power cut: 64 KiB, and the rest once the disk has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gatebook.model import Receipt

if TYPE_CHECKING:
    from gatebook.gateway.gateway import Gateway

UNSYNCED_BYTES = 65_536  # of an answer may leave before its entry would survive a power cut


class Released:
    """Bytes on their way to one client, in order, and those that are held back. Owned by one connection."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._unsynced = 0
        self._held: list[bytes] = []

    @property
    def holds(self) -> bool:
        """Whether something waits for the disk."""
        return bool(self._held)

    def under(self, receipt: Receipt) -> None:
        """What comes next is the answer to what this entry says."""
        self.left(receipt.index, 0)

    def left(self, index: int, size: int) -> None:
        """The same, of the entry at this index; and so much of the answer has left."""
        self._index, self._unsynced = index, size

    def synced(self, gateway: Gateway) -> bool:
        """Whether all may leave."""
        return self._index is None or gateway.book.synced(self._index)

    def tell(self, gateway: Gateway, heard: Callable[[], None]) -> None:
        """Have ``heard`` called once what was held back may be ``settled``."""
        if self._index is not None:
            gateway.book.when_synced(self._index, heard)

    def settled(self, gateway: Gateway) -> bool:
        """Whether it is known what becomes of what was held back: ``take`` it."""
        return self.synced(gateway) or gateway.book.failed is not None

    def passes(self, data: bytes, gateway: Gateway) -> bool:
        """Whether this may leave now; else it is kept until it is taken."""
        self._unsynced += len(data)
        if not self._held and (self._unsynced <= UNSYNCED_BYTES or self.synced(gateway)):
            return True
        self._held.append(data)
        return False

    def take(self, gateway: Gateway) -> bytes:
        """What was held back, if it may leave; it is gone in any case."""
        held, self._held = b"".join(self._held), []
        return held if held and self.synced(gateway) else b""
