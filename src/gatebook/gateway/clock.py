"""The gateway's time: µs since the epoch, UTC. It never goes back and never stands still.

A system clock that is set back would prolong tokens, grants and approvals; so time is at least what has passed, by the
machine's monotonic clock, since the latest time that was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Any thread may ask it: two that ask at once get times that are at most as far apart as their calls."""

    def __init__(self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._seen = (wall() // 1000, monotonic())

    def __call__(self) -> int:
        """The time now."""
        seen, at = self._seen
        elapsed = self._monotonic()
        now = max(self._wall() // 1000, seen + (elapsed - at) // 1000)
        self._seen = (now, elapsed)
        return now
