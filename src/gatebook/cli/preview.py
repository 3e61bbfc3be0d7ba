"""What a preview found, as ``gatebook approvals`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatebook.cli.common import count, escaped, print_table

UNCHANGED = "="
FORMS = {
    "diff": "What changes, by the target's own dry run:",
    "comes": "What comes, by the target's own dry run:",
    "goes": "What goes:",
    "names": "What goes:",
}


def print_preview(found: Mapping[str, Any]) -> None:
    """What a held write changes, or why there is its text alone."""
    print()
    if found["why"]:
        print(f"Text alone, no preview: {escaped(found['why'])}.")
        if found["promise"]:
            print(found["promise"])
        return
    if found["form"]:
        _print_text(found)
        return
    print(f"It changes {count(found['rows'], 'row')}. {found['promise']}")
    if found["follows"]:
        print(f"Foreign keys carry it to rows of {escaped(', '.join(found['follows']))}, which are not counted.")
    if found["sample"]:
        print_rows(found)


def _print_text(found: Mapping[str, Any]) -> None:
    """What the target itself says of it."""
    print(" ".join([FORMS[found["form"]], *(escaped(one) for one in found["notes"]), *filter(None, [found["promise"]])]))
    print()
    print(escaped(found["text"], keep="\n"))


def print_rows(found: Mapping[str, Any]) -> None:
    """One line for each column of each row: what it was and what it becomes."""
    lines: list[tuple[str, ...]] = []
    for number, row in enumerate(found["sample"], 1):
        lines += list(_lines(number, row, found))
    headings = ("ROW", "COLUMN", "BEFORE", "AFTER")
    print_table(headings, lines, wraps="AFTER", drops=())
    left = found["rows"] - len(found["sample"])
    if left > 0:
        print(f"{count(left, 'more row')} not shown.")
    if found["more_columns"]:
        print(f"{count(found['more_columns'], 'more column')} not shown.")


def _lines(number: int, row: Mapping[str, Any], found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of a row that stays, its key and what changes; all of one that comes or goes."""
    columns, before, after = found["columns"], row["before"], row["after"]
    places = range(len(columns))
    if before is not None and after is not None:
        shown = [at for at in places if at in row["changed"] or columns[at] in found["keys"]]
    else:
        shown = list(places)
    becomes = [_value(after, at) if at in row["changed"] or before is None else _same(after) for at in shown]
    return [(str(number), columns[at], _value(before, at), new) for at, new in zip(shown, becomes, strict=True)]


def _same(after: list[str | None] | None) -> str:
    return "-" if after is None else UNCHANGED


def _value(row: list[str | None] | None, at: int) -> str:
    if row is None:
        return "-"
    value = row[at]
    return "NULL" if value is None else value
