"""What people see of a push who decide about it: refs, commits, files and the diff, covered; and its line in logs."""

from __future__ import annotations

from collections.abc import Iterable

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.protocols.git.diffs import told as told_diff
from gatebook.protocols.git.history import MissingError
from gatebook.protocols.git.inquiry import Inquiry
from gatebook.protocols.git.meaning import Told
from gatebook.protocols.http.doubts import visible

SHOWN_COMMITS = 50
SHOWN_REFS = 20
SHOWN_FILES = 500


def shown(verb: str, repository: str, told: tuple[Told, ...]) -> str:
    """In one line, for logs: ``push org/app: main 1a2b3c4..5d6e7f8``."""
    what = verb.partition(".")[2]
    if not told:
        return _line(f"{what} {repository or '-'}")
    moves = ", ".join(_move(one) for one in told[:SHOWN_REFS])
    more = f" and {len(told) - SHOWN_REFS} more" if len(told) > SHOWN_REFS else ""
    return _line(f"{what} {repository}: {moves}{more}")


def seen(shown: str, told: Iterable[Told], diff: str) -> str:
    """All that people are shown."""
    return "\n".join([shown, *(row for one in told for row in _rows(one)), *([diff] if diff else [])])


def _move(one: Told) -> str:
    command = one.command
    name = command.ref.removeprefix("refs/heads/")
    short = [digest[:12] if int(digest, 16) else "nothing" for digest in (command.old, command.new)]
    return f"{name} {short[0]}..{short[1]}" + (" (forced)" if one.facts.get("force") else "")


def _rows(one: Told) -> list[str]:
    rows = ["", _line(_move(one))]
    for digest, commit in one.commits[:SHOWN_COMMITS]:
        rows.append(_line(f"  {digest[:12]} {commit.subject[:100]} ({commit.author})"))
        rows += [_line(f"      {name}: {value[:200]}") for name, value in commit.trailers[:8]]
    if len(one.commits) > SHOWN_COMMITS:
        rows.append(f"  and {len(one.commits) - SHOWN_COMMITS} more commits")
    return rows


def diff_of(inquiry: Inquiry) -> str:
    """Of what each ref had with what it gets. What is not at hand for it is said, not asked for."""
    history = inquiry.history
    if history is None or inquiry.told is None:
        return ""
    texts = []
    for one in inquiry.told:
        if not one.files:
            continue
        try:
            text, stats = told_diff(history, one.ends)
        except (MissingError, WireError) as error:
            texts.append(f"(no diff of {_line(one.command.ref)}: {_line(str(error))})")
            continue
        counts = [
            f"  {_line(stat.path)} {'(not compared)' if stat.added < 0 else f'+{stat.added} -{stat.removed}'}"
            for stat in stats[:SHOWN_FILES]
        ]
        if len(stats) > SHOWN_FILES:
            counts.append(f"  and {len(stats) - SHOWN_FILES} more files")
        texts.append("\n".join([_line(one.command.ref), *counts, "", text]))
    return "\n\n".join(texts)


def _line(text: str) -> str:
    return visible(cover_text(text[:2_000])).replace("\n", "\\n")
