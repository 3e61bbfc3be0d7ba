"""The gateway's time: µs since the epoch, UTC, never going back, so that a clock set back prolongs nothing."""

from __future__ import annotations

import time


class Clock:
    """Used from one event loop."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        """The time now."""
        self._last = max(self._last, time.time_ns() // 1000)
        return self._last
