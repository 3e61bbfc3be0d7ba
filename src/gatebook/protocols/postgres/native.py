"""The compiled twin of ``rows`` and ``copying``, where it is installed: many rows in one call, without the GIL.

The crate (``native/``) gets its patterns, tables and limits from here, so each is written down once. It covers a run of row
messages and stops before whatever it does not know, or what is malformed: the Python twin does that, and says what is wrong.

``GATEBOOK_NATIVE=0`` in the environment leaves it out; the crate itself looks, since nothing here reads an environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeAlias

from gatebook.masking import checks, detectors, styles
from gatebook.masking.rules import Style
from gatebook.masking.table import TABLE, Detector
from gatebook.protocols.postgres import oids
from gatebook.protocols.postgres.json_forms import sound_json, still_json

try:
    import gatebook_native as _crate
except ImportError:
    _crate = None

LANE_CHARACTERS = 4096  # of a text that is remembered as having come
crate: Any = _crate if _crate is not None and _crate.wanted() else None

has_lanes = hasattr(crate, "Lane")  # which a crate that was built before has not

# A rule's column: the name it is counted by, its style, and what covers a cell of it where the crate does not know the style.
Rule: TypeAlias = tuple[str, str, Callable[[bytes], bytes | None]]
Column: TypeAlias = tuple[int, int, Rule | None]  # type, format, rule
Form: TypeAlias = tuple[str, bytes, bytes, bytes, bytes]  # of a copy: format, delimiter, null, quote, escape

_CHECKS: dict[Any, str] = {
    checks.url_password: "url_password",
    checks.openai: "openai",
    checks.authorization: "authorization",
    checks.email: "email",
    checks.iban: "iban",
    checks.card: "card",
    checks.ssn: "ssn",
    checks.phone: "phone",
    checks.secret: "secret",
}


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
    chosen = [_spec(detector) for detector in TABLE if detector.name in names]
    return crate.Table(chosen, _lore(), _types(), _calls())


def _spec(detector: Detector) -> tuple[str, list[tuple[str, str]], list[bytes], str, str, str]:
    hints = [(view, hint.decode("ascii")) for view, hint in detector.hints]
    check = "marker" if isinstance(detector.check, checks.Marker) else _CHECKS[detector.check]
    pattern, heads = detector.pattern.decode("ascii"), detector.heads.decode("ascii")
    return detector.name, hints, list(detector.marks), pattern, heads, check


def _lore() -> dict[str, object]:
    patterns = {
        "plain_email": checks.PLAIN_EMAIL,
        "escape": checks.ESCAPE,
        "image_scale": checks.IMAGE_SCALE,
        "port": checks.PORT,
        "partly_covered": checks.PARTLY_COVERED,
        "covered": checks.COVERED,
        "placeholder": checks.PLACEHOLDER,
        "path": checks.PATH,
        "style_card": styles.CARD,
        "style_ssn": styles.SSN,
        "style_email": styles.EMAIL,
    }
    return {
        "patterns": {name: _pattern(pattern) for name, pattern in patterns.items()},
        "ibans": checks.IBAN_LENGTHS,
        "words": set(checks.WORDS),
        "lengths": [sum(1 << length for length in checks.LENGTHS[b"%04d" % head]) for head in range(10_000)],
        "random_bits": checks.RANDOM_BITS,
    }


def _pattern(pattern: re.Pattern[bytes]) -> tuple[str, bool, bool]:
    return pattern.pattern.decode("ascii"), bool(pattern.flags & re.DOTALL), bool(pattern.flags & re.IGNORECASE)


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
