"""Recordings for tests, and what a ledger would know of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyrage

from gatebook.recording.grec import Event, Segment
from gatebook.recording.reading import Known, Recording, unlock
from gatebook.recording.recorder import Recorder

SID = "0199a000-0000-7000-8000-000000000001"
OTHER = "0199a000-0000-7000-8000-000000000002"
ORIGIN = "demo/log/1/1"
AUDITOR = pyrage.x25519.Identity.generate()
RECIPIENT = str(AUDITOR.to_public())


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def begin(folder: Path, told: list[Segment], sid: str = SID, clock: Clock | None = None) -> Recorder:
    return Recorder.open(sid, folder, [RECIPIENT], ORIGIN, told.append, clock or Clock())


def recorded(folder: Path, pieces: Iterable[bytes], sid: str = SID) -> list[Segment]:
    """A whole recording with a segment for each piece."""
    told: list[Segment] = []
    clock = Clock()
    recorder = begin(folder, told, sid, clock)
    for piece in pieces:
        recorder.response(piece)
        clock.now += 5_000_000
    recorder.close("done")
    return told


def known(segments: Iterable[Segment]) -> dict[int, Known]:
    return {one.n: Known(one.sha256, one.last) for one in segments}


def reading(folder: Path, segments: Iterable[Segment], *, sid: str = SID, live: bool = False) -> Recording:
    return Recording(folder / sid, unlock(folder / sid, [AUDITOR]), known(segments), live)


def said(events: Iterable[Event]) -> list[bytes]:
    return [event.data for event in events if event.kind == "s"]
