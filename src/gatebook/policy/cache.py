"""Decisions kept by their exact inputs, for as long as they hold and no more than a fixed number of them."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

ENTRIES_MAX = 4096  # a few MB; the statements of a busy minute


class Cache:
    """The decisions used last. Safe from any thread; a policy has its own, so that a changed policy starts empty."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._kept: OrderedDict[object, tuple[int, Any]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object, now: int) -> Any:
        """What was kept under ``key`` and still holds at ``now``, or None."""
        with self._lock:
            until, value = self._kept.get(key, (0, None))
            if value is None:
                return None
            if now >= until:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return value

    def put(self, key: object, value: object, until: int) -> None:
        """Keep ``value`` until that time, at the cost of the one used longest ago."""
        with self._lock:
            self._kept[key] = (until, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries_max:
                self._kept.popitem(last=False)
