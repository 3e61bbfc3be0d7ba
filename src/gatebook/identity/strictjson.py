"""JSON as RFC 7519 §4 wants it of tokens: one object, every name once, no NaN. Two readers must not see two claims sets."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read_object(data: bytes) -> dict[str, Any]:
    """The object in ``data``; raises ValueError without any part of it in the message."""
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None
    except _TwiceError:
        raise ValueError("JSON with a name that stands twice") from None
    except ValueError:
        raise ValueError("not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ValueError("JSON, but not an object")
    return found


class _TwiceError(ValueError):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
