"""The compiled twin of ``rows`` and ``copying``, where it is installed: many rows in one call, without the GIL.

The crate (``native/``) gets its patterns, tables and limits from Python, so each is written down once. It covers a run of row
messages and stops before whatever it does not know, or what is malformed: the Python twin does that, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeAlias

from gatebook.masking import compiled, detectors, styles
from gatebook.masking.rules import Style
from gatebook.protocols.postgres import oids
from gatebook.protocols.postgres.json_forms import sound_json, still_json

crate: Any = compiled.crate

LANE_CHARACTERS = 4096  # of a text that is remembered as having come
has_lanes = hasattr(crate, "Lane")  # which a crate that was built before has not

# A rule's column: the name it is counted by, its style, and what covers a cell of it where the crate does not know the style.
Rule: TypeAlias = tuple[str, str, Callable[[bytes], bytes | None]]
Column: TypeAlias = tuple[int, int, Rule | None]  # type, format, rule
Form: TypeAlias = tuple[str, bytes, bytes, bytes, bytes]  # of a copy: format, delimiter, null, quote, escape


class Run(NamedTuple):
    """Messages that were covered together: where they ended, what the client gets, and the size of the bodies in it."""

    end: int
    messages: bytes | memoryview
    size: int


class Rows(Protocol):
    """The rows of one result in the crate."""

    def feed(self, data: bytes, at: int, limit: int, masked: dict[str, int]) -> tuple[int, bytes | None, int]:
        """Cover what stands whole from ``at`` on; no messages mean that they go as they are."""


def version() -> str:
    """The compiled twin's version, "" where the Python twin does all."""
    return str(crate.__version__) if crate is not None else ""


def named() -> str:
    """Which twin covers rows, in words."""
    return f"native {version()}" if crate is not None else "python"


def rows(names: frozenset[str], columns: Sequence[Column], key: bytes, form: Form | None = None) -> Rows | None:
    """The compiled twin for these columns; None where there is none."""
    if crate is None:
        return None
    made: Rows = crate.Rows(_table(names), columns, key, form)
    return made


def run(found: Rows, data: bytes, at: int, limit: int, masked: dict[str, int]) -> Run:
    """Cover the rows from there on, as far as the crate can."""
    end, covered, size = found.feed(data, at, limit, masked)
    if covered is not None:
        return Run(end, covered, size)
    return Run(end, data if at == 0 and end == len(data) else memoryview(data)[at:end], size)


def lane(names: frozenset[str], plain: str) -> Any:
    """The plain way of one session (``relay_lane.py``) in the crate; ``plain`` is the pattern of texts that have a skeleton."""
    return crate.Lane(_table(names), plain)


@lru_cache(maxsize=64)  # one per choice that a config makes
def _table(names: frozenset[str]) -> Any:
    return crate.Table(compiled.detectors(names), _types(), _calls())


def _types() -> dict[str, object]:
    return {
        "dynamic": oids.DYNAMIC,
        "texts": set(oids.TEXTS),
        "rigid": set(oids.RIGID),
        "lexemes": set(oids.LEXEMES),
        "arrays": oids.ARRAYS,
        "work": detectors.WORK,
        "taken_apart": detectors.TAKEN_APART,
        "piece": detectors.PIECE,
        "long_cell": detectors.LONG_CELL,
        "long_line": detectors.LONG_LINE,
    }


def _calls() -> dict[str, object]:
    return {"sound_json": sound_json, "still_json": still_json, "partial": _partial}


def _partial(value: bytes) -> bytes:
    return styles.cover_value(value, Style.PARTIAL, b"")
