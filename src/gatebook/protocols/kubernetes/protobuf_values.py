"""Values that stand in JSON otherwise than as the message that they are in protobuf, each from what its few fields hold.

As apimachinery writes them: time_proto.go, micro_time_proto.go, duration.go, quantity.go, intstr.go, extension.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gatebook.errors import WireError
from gatebook.protocols.http.contents import ABSENT, read_json
from gatebook.protocols.http.doubts import Doubts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 10**9  # in nanoseconds
_UNITS = ((10**6, "ms"), (10**3, "µs"), (1, "ns"))


class ProtobufError(WireError):
    """Content that is no object of Kubernetes in protobuf, or not one that can be read here; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Special:
    """The types of its fields by number, and its JSON of what they hold; what is missing is not in there."""

    fields: Mapping[int, str]
    value: Callable[[Mapping[int, Any]], Any]


def _time(found: Mapping[int, Any]) -> str | None:
    """Without fractions, as an API server has it too, and null for the zero that is no bytes at all."""
    return _moment(found, "") if found else None


def _microtime(found: Mapping[int, Any]) -> str | None:
    return _moment(found, f".{found.get(2, 0) // 1000:06d}") if found else None


def _moment(found: Mapping[int, Any], fraction: str) -> str:
    seconds, nanoseconds = found.get(1, 0), found.get(2, 0)
    if not 0 <= nanoseconds < _SECOND:
        raise ProtobufError(f"a time has {nanoseconds} nanoseconds in its second")
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ProtobufError(f"a time is {seconds} seconds from 1970, outside of the years 1 to 9999") from None
    return f"{moment:%m-%dT%H:%M:%S}".join((f"{moment.year:04d}-", f"{fraction}Z"))


def _duration(found: Mapping[int, Any]) -> str:
    """As Go writes it: ``1h2m0.5s``, ``1.5ms``."""
    left = abs(found.get(1, 0))
    sign = "-" if found.get(1, 0) < 0 else ""
    if left < _SECOND:
        unit, name = next((one for one in _UNITS if left >= one[0]), (1, ""))
        return f"{sign}{_decimal(left, unit)}{name or 's'}"
    minutes, seconds = divmod(left, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds, _SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)


def _quantity(found: Mapping[int, Any]) -> str:
    text: str = found.get(1, "")
    if not text:
        raise ProtobufError("a quantity says nothing")
    return text


def _int_or_string(found: Mapping[int, Any]) -> int | str:
    match found.get(1, 0):
        case 0:
            number: int = found.get(2, 0)
            return number
        case 1:
            text: str = found.get(3, "")
            return text
        case kind:
            raise ProtobufError(f"a number or text is of type {kind}, and there are 0 and 1")


def _raw(found: Mapping[int, Any]) -> Any:
    """JSON in the middle of protobuf. Protobuf or CBOR in there is not read."""
    if not found.get(1):
        return None
    doubts = Doubts()
    value = read_json(found[1], doubts)
    if value is ABSENT:
        raise ProtobufError(f"of an object within it: {doubts.why}")
    return value


def _strings(found: Mapping[int, Any]) -> list[str]:
    return found.get(1) or []


STRINGS = "*string"
SPECIAL: Mapping[str, Special] = {
    "time": Special({1: "int64", 2: "int32"}, _time),
    "microtime": Special({1: "int64", 2: "int32"}, _microtime),
    "duration": Special({1: "int64"}, _duration),
    "quantity": Special({1: "string"}, _quantity),
    "intorstring": Special({1: "int64", 2: "int32", 3: "string"}, _int_or_string),
    "raw": Special({1: "bytes"}, _raw),
    "strings": Special({1: STRINGS}, _strings),
}


def _or_array(found: Mapping[str, Any]) -> Any:
    return found.get("jSONSchemas") or found.get("schema")


def _or_bool(found: Mapping[str, Any]) -> Any:
    return found.get("schema", found.get("allows", False))


def _or_strings(found: Mapping[str, Any]) -> Any:
    return found.get("property") or found.get("schema")


# Messages that are one of their fields in JSON, by the last part of their names (apiextensions, marshal.go).
EITHER: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "JSONSchemaPropsOrArray": _or_array,
    "JSONSchemaPropsOrBool": _or_bool,
    "JSONSchemaPropsOrStringArray": _or_strings,
}
