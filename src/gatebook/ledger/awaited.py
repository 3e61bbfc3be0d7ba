"""Who waits until an entry would survive a power cut, though it was written without waiting for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

Told = Sequence[tuple[asyncio.AbstractEventLoop, Callable[[], None]]]


class Awaited:
    """Entries by their index, and whom to tell. Under the lock of its log's condition, save for ``tell``."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, Callable[[], None]]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, index: int, loop: asyncio.AbstractEventLoop, heard: Callable[[], None]) -> None:
        """One more."""
        self._waiting.append((index, loop, heard))

    def synced(self, size: int) -> Told:
        """So many entries are on disk: whoever waits no longer."""
        told = [(loop, heard) for index, loop, heard in self._waiting if index < size]
        self._waiting = [one for one in self._waiting if one[0] >= size]
        return told

    def all(self) -> Told:
        """Nobody waits any longer."""
        told, self._waiting = [(loop, heard) for _, loop, heard in self._waiting], []
        return told


def tell(told: Told) -> None:
    """Wake them: each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
    for loop, heard in told:
        loops.setdefault(loop, []).append(heard)
    for loop, those in loops.items():
        call_in(loop, _hear, those)


def call_in(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: Any) -> None:
    """From whatever thread; a loop that is closed has nobody who waits."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)


def _hear(those: Sequence[Callable[[], None]]) -> None:
    """Each in a call of its own, so that a fault of one is not another's."""
    loop = asyncio.get_running_loop()
    for heard in those:
        loop.call_soon(heard)
