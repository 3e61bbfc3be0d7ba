"""What approvers are shown of a held write beside its text: the rows it would change, as a preview found them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

BYTES = 262_144  # of one preview as it is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: what it was and what it becomes, None where there is no such row; ``changed`` are places of columns."""

    before: tuple[str | None, ...] | None
    after: tuple[str | None, ...] | None
    changed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a write would change. With ``why`` there is its text alone, and that is the reason.

    ``rows`` is how many it changes, ``sample`` some of them, covered, in ``columns`` (and ``more_columns`` that are not shown);
    ``keys`` are those of the primary key. ``follows`` are tables whose rows foreign keys change further, which are not counted.
    ``held_to`` is what the execution is held to (a permit's conditions), made at ``at``.

    Where it is no rows, ``form`` says what ``text`` is, covered, too: a "diff" of what is there with what it becomes, what
    "comes", what "goes", or "names" of what goes; ``notes`` are sentences about it.
    """

    why: str = ""
    rows: int = 0
    columns: tuple[str, ...] = ()
    more_columns: int = 0
    keys: tuple[str, ...] = ()
    sample: tuple[Row, ...] = ()
    follows: tuple[str, ...] = ()
    masked: Mapping[str, int] = field(default_factory=dict)
    held_to: Mapping[str, str] = field(default_factory=dict)
    at: int = 0
    form: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """What a yes holds the execution to, in a sentence; "" where that is nothing."""
        if self.by_rows:
            return "It runs only if these very rows are still the same."
        if "uid" in self.held_to:
            return "It runs only if the object is still the same, in the same version."
        if "absent" in self.held_to:
            return "It runs only if there still is no such object just before."
        if "set" in self.held_to:
            return "It runs only if they are still the same ones just before; what comes right after that look goes, too."
        if "rows" in self.held_to:
            return "It runs only if it still changes as many; which rows is not checked."
        return ""

    @property
    def by_rows(self) -> bool:
        """Whether the execution is held to the rows themselves, not to their number alone."""
        return "digest" in self.held_to


def kept(preview: Preview) -> str:
    """As it is stored. What is too long to keep is kept without its rows."""
    text = _json(preview)
    if len(text) <= BYTES:
        return text
    return _json(Preview(**{**_fields(preview), "sample": (), "columns": (), "more_columns": 0, "text": ""}))


def digest(preview: Preview) -> str:
    """``sha256:…`` of what is stored, for the book: which view it was that approvers had."""
    return f"sha256:{hashlib.sha256(kept(preview).encode('ascii')).hexdigest()}"


def read(text: str) -> Preview | None:
    """What ``kept`` made; None for nothing. Raises ValueError, KeyError or TypeError."""
    if not text:
        return None
    found: dict[str, Any] = json.loads(text)
    rows = tuple(
        Row(before=_cells(one["before"]), after=_cells(one["after"]), changed=tuple(one["changed"])) for one in found["sample"]
    )
    lists = {name: tuple(found.get(name, ())) for name in ("columns", "keys", "follows", "notes")}
    return Preview(**{**found, **lists, "sample": rows})


def _cells(found: list[str | None] | None) -> tuple[str | None, ...] | None:
    return None if found is None else tuple(found)


def _fields(preview: Preview) -> dict[str, Any]:
    return {name: getattr(preview, name) for name in preview.__dataclass_fields__}


def _json(preview: Preview) -> str:
    return json.dumps(asdict(preview), separators=(",", ":"), sort_keys=True)
