"""The compiled crate (``native/``), where it is installed, and the detectors as it takes them.

It gets patterns, tables and limits from Python, so each is written down once. ``GATEBOOK_NATIVE=0`` in the environment leaves
it out; the crate itself looks, since nothing here reads an environment.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from gatebook.masking import checks, styles
from gatebook.masking.detectors import OverworkError, Spot
from gatebook.masking.table import TABLE, Detector

try:
    import gatebook_native as _crate
except ImportError:
    _crate = None

# One that was built from other sources than these is none.
crate: Any = _crate if _crate is not None and _crate.wanted() and hasattr(_crate, "Detectors") else None

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


@lru_cache(maxsize=64)  # one per choice that a config makes
def detectors(names: frozenset[str]) -> Any:
    """A choice of detectors in the crate, which must be there."""
    return crate.Detectors([_spec(detector) for detector in TABLE if detector.name in names], _lore())


def blot(names: frozenset[str], data: bytes, work: int) -> tuple[bytes, list[Spot]] | None:
    """What ``Scan.blot`` answers; None where the twin must be asked. Raises OverworkError."""
    if crate is None:
        return None
    try:
        shown, spots = detectors(names).blot(data, work)
    except OverflowError:
        raise OverworkError from None
    except ValueError:
        return None
    return (data if shown is None else shown), [Spot(*spot) for spot in spots]


def find(data: bytes, wanted: bytes, start: int, stop: int) -> int:
    """What ``bytes.find`` does between two places, many times faster where much is looked through."""
    if crate is None:
        return data.find(wanted, start, stop)
    found = crate.find(data, wanted, start, stop)
    return -1 if found is None else found


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
