"""What people are shown of a push: each file as git shows a diff, covered, and secrets that it would bring in.

Only lines that a push adds are looked through for secrets: what is there already is not brought by it. What is covered is
covered on both sides, so that a diff shows that a secret goes, and not which.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gatebook.masking.detectors import OverworkError, Work, scan
from gatebook.protocols.git.history import History, Touched, mode_of
from gatebook.protocols.git.objects import Entry, Kind
from gatebook.protocols.http.doubts import visible

COMPARED = 2_000  # lines of a file that are compared; of more it is said how many there are
ALL_COMPARED = 40_000  # lines of all files
SHOWN_CHARACTERS = 65_536
LINE_CHARACTERS = 400
SEARCHED_BYTES = 8 * 1024 * 1024  # of one file's added lines, for secrets
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Stat:
    """What becomes of one file, in lines; -1 for what is not text, or was not compared."""

    path: str
    added: int
    removed: int


def told(history: History, files: Iterable[Touched]) -> tuple[str, list[Stat]]:
    """The diff of these files, covered and as long as it may be, and what becomes of each. Raises MissingError."""
    lines: list[str] = []
    stats: list[Stat] = []
    room, work = SHOWN_CHARACTERS, ALL_COMPARED
    left = 0
    for one in files:
        if room <= 0 or work <= 0:
            left += 1
            stats.append(Stat(one.path, -1, -1))
            continue
        old, new = (_text(history, side) for side in (one.old, one.new))
        work -= len(old or ()) + len(new or ())
        stats.append(_stat(one.path, old, new))
        piece = "\n".join(_file(one, old, new))
        lines.append(piece[:room])
        room -= len(piece)
    if left or room < 0:
        lines.append(
            f"(cut here: not all of this file, and {left} more files)" if room < 0 else f"(cut here: {left} more files)"
        )
    return "\n".join(lines), stats


def added(history: History, one: Touched) -> str:
    """Lines that a file gains, as text whatever it is: a secret in a binary is one too. Raises MissingError."""
    old, new = (_raw(history, side) for side in (one.old, one.new))
    was = set(old.splitlines())
    text = b"\n".join(line for line in new.splitlines() if line not in was)
    return text[:SEARCHED_BYTES].decode(errors="replace")


def _raw(history: History, entry: Entry | None) -> bytes:
    if entry is None or entry.is_module:
        return b""
    return history.object(entry.digest, Kind.BLOB).data


def _text(history: History, entry: Entry | None) -> list[str] | None:
    """Its lines; None for what is no text. A module is the commit that it is at, as git shows it."""
    if entry is None:
        return []
    if entry.is_module:
        return [f"Subproject commit {entry.digest}"]
    data = _raw(history, entry)
    if b"\0" in data[:8_000]:
        return None
    return data.decode(errors="replace").split("\n")[: None if data[-1:] != b"\n" else -1]


def _stat(path: str, old: list[str] | None, new: list[str] | None) -> Stat:
    if old is None or new is None:
        return Stat(path, -1, -1)
    if max(len(old), len(new)) > COMPARED:
        return Stat(path, len(new), len(old))
    plus = minus = 0
    for line in difflib.unified_diff(old, new, n=0, lineterm=""):
        plus += line.startswith("+") and not line.startswith("+++")
        minus += line.startswith("-") and not line.startswith("---")
    return Stat(path, plus, minus)


def _file(one: Touched, old: list[str] | None, new: list[str] | None) -> Iterator[str]:
    path = visible(one.path).replace("\n", "\\n")
    yield f"diff --git a/{path} b/{path}"
    if one.old is None:
        yield f"new file mode {mode_of(one.new)}"
    elif one.new is None:
        yield f"deleted file mode {mode_of(one.old)}"
    elif one.old.mode != one.new.mode:
        yield f"old mode {mode_of(one.old)}"
        yield f"new mode {mode_of(one.new)}"
    if old is None or new is None:
        yield "Binary files differ"
        return
    if max(len(old), len(new)) > COMPARED:
        yield f"({len(old)} lines become {len(new)}: too many to compare here)"
        return
    names = ("/dev/null" if one.old is None else f"a/{path}", "/dev/null" if one.new is None else f"b/{path}")
    yield from difflib.unified_diff(_shown(old), _shown(new), *names, n=CONTEXT, lineterm="")


def _shown(lines: list[str]) -> list[str]:
    """Covered, with stars of their lengths for what detectors find, so that no line moves."""
    if not lines:
        return []
    text = "\n".join(lines).encode(errors="surrogatepass")
    chosen, work = scan(), Work()
    try:
        text, _ = chosen.blot(text, chosen.suspects(text, work), work)
    except OverworkError:
        return ["(too much work to cover, so that nothing of it is shown)"]
    covered = text.decode(errors="replace").split("\n")
    return [visible(line[:LINE_CHARACTERS]) + ("…" if len(line) > LINE_CHARACTERS else "") for line in covered]
