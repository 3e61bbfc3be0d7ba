"""Recordings that a crash left open: what is whole of their spools becomes segments marked ``cut``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from gatebook.errors import RecordingError
from gatebook.recording import grec
from gatebook.recording.files import found_segment, segment_path, spool_path, sync_folder, why
from gatebook.recording.grec import Segment

_SPOOL = re.compile(r"(0|[1-9][0-9]{0,8})\.spool")

Finished = Callable[[Segment], None]


def recover(folder: Path, finished: Finished, mine: Callable[[str], bool] = lambda _origin: True) -> list[Segment]:
    """After a crash: make segments of what was left, tell ``finished`` of each, and return them. Raises RecordingError.

    ``mine`` says of a log's origin, empty where a recording names none, whether its recordings are to be looked at: only those
    that no recorder writes. A segment that the ledger may know already is told again, unchanged.
    """
    found: list[Segment] = []
    try:
        for place in sorted(folder.iterdir()) if folder.exists() else []:
            if grec.SESSION.fullmatch(place.name) and place.is_dir() and not place.is_symlink() and mine(_origin(place)):
                found += _recover_session(place, finished)
    except OSError as error:
        raise RecordingError(f"recordings cannot be recovered: {why(error)}") from error
    return found


def _origin(place: Path) -> str:
    """The log that a recording's spools belong to; empty where none is there or can be read."""
    for path in place.glob("*.spool"):
        with contextlib.suppress(RecordingError), path.open("rb") as file:
            return str(grec.read_first_line(file.read(grec.LONGEST_LINE))[1].get("origin", ""))
    return ""


def _recover_session(place: Path, finished: Finished) -> list[Segment]:
    for left in place.glob("*.tmp"):
        left.unlink()
    numbers = sorted(int(match[1]) for path in place.iterdir() if (match := _SPOOL.fullmatch(path.name)))
    found = []
    for n in numbers:
        spool, done = spool_path(place, n), segment_path(place, n)
        segment = _finished_before(done) or _cut_spool(spool, n, last=n == numbers[-1])
        finished(segment)
        found.append(segment)
        if segment.cut:
            os.rename(spool, done)
        else:
            spool.unlink()
        sync_folder(place)
    return found


def _finished_before(done: Path) -> Segment | None:
    """The segment that was made of a spool before the crash; one that is damaged is set aside."""
    if not done.exists():
        return None
    try:
        return found_segment(done.read_bytes())
    except RecordingError:
        os.rename(done, done.with_suffix(".damaged"))
        return None


def _cut_spool(spool: Path, n: int, *, last: bool) -> Segment:
    """What a spool is worth without its key: its whole events, the rest cut off. One that is not ours stays as it is."""
    data = spool.read_bytes()
    times: list[int] = []
    with contextlib.suppress(RecordingError):
        form, facts, line = grec.read_first_line(data)
        if (form, facts["sid"], facts["n"]) == (grec.SPOOL, spool.parent.name, n):
            data = data[: _whole(data, len(line), times)]
    with spool.open("r+b") as file:
        file.truncate(len(data))
        os.fsync(file.fileno())
    return Segment(
        sid=spool.parent.name,
        n=n,
        last=last,
        cut=True,
        events=len(times),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        t0=min(times, default=0),
        t1=max(times, default=0),
    )


def _whole(data: bytes, end: int, times: list[int]) -> int:
    """Where the whole boxes end; ``times`` gets the time of each that could be one."""
    for head, body, stop in grec.frames(data, end):
        time = grec.event_of(head, b"").time
        if len(body) < grec.TAG_BYTES or time > grec.LATEST:
            break
        times.append(time)
        end = stop
    return end
