"""The files of a recording: where they are, how they are written, and what a finished one says of itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatebook.errors import RecordingError
from gatebook.recording import grec
from gatebook.recording.grec import Segment

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def segment_path(folder: Path, n: int) -> Path:
    """Where segment n of the session in this folder is."""
    return folder / f"{n}.seg"


def spool_path(folder: Path, n: int) -> Path:
    """Where its spool is, until segment n is finished."""
    return folder / f"{n}.spool"


def found_segment(data: bytes) -> Segment:
    """A finished segment, by what its first line says. Raises RecordingError."""
    _, facts, _ = grec.read_first_line(data)
    return segment_of(data, facts["sid"], facts["n"], facts)


def segment_of(data: bytes, sid: str, n: int, facts: Mapping[str, Any]) -> Segment:
    """A finished segment with these facts. Raises RecordingError."""
    try:
        return Segment(
            sid=sid,
            n=n,
            last=bool(facts["last"]),
            cut=False,
            events=int(facts["events"]),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            t0=int(facts["t0"]),
            t1=int(facts["t1"]),
        )
    except (KeyError, TypeError, ValueError):
        raise RecordingError("not a finished segment") from None


def write_all(file: int, head: bytes, data: bytes) -> None:
    """Both, one behind the other, in one write where the disk has room."""
    written = os.writev(file, (head, data))
    if written < len(head) + len(data):  # a disk that is nearly full takes a part and says why at the next write
        rest = memoryview(head + data)[written:]
        while rest:
            rest = rest[os.write(file, rest) :]


def write(path: Path, data: bytes, *, synced: bool = True) -> None:
    """A new file, readable by its owner alone."""
    file = os.open(path, NEW, 0o600)
    try:
        write_all(file, b"", data)
        if synced:
            os.fsync(file)
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    """Names in it are on disk when this returns."""
    sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync(path: Path, how: int = os.O_RDONLY) -> None:
    """The file is on disk when this returns."""
    file = os.open(path, how | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def why(error: Exception) -> str:
    """In the words of the system where it is an OSError."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
