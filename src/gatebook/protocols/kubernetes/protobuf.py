"""Objects that clients of Kubernetes send as protobuf, as the JSON that the same client would send.

``k8s\\0``, then an envelope (apimachinery, runtime.Unknown): version and kind, then the object's own message as bytes. What the
numbers in it mean ``messages.py`` knows; protobuf itself says of a field only how long it is.

Strict, since what is sent on is what was read here: a field that is not in the table would get lost, so that an object would be
decided about and made without it; a field that comes twice is the last, the first or both of them, as readers go. Neither is
taken. Zeros that a client wrote stay, save those that JSON leaves out where the field cannot be missing: they say nothing.

Pure: one content in, one value or ``ProtobufError`` out, in memory and time bounded by ``VALUES`` and ``DEPTH``.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

from gatebook.protocols.http.doubts import quoted
from gatebook.protocols.kubernetes.messages import INLINE, Field, Many, messages
from gatebook.protocols.kubernetes.protobuf_values import EITHER, SPECIAL, STRINGS, ProtobufError

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
DEPTH = 64  # of messages in messages, as of JSON
VALUES = 250_000  # in one content: a schema of a megabyte has fewer, and reading takes a second at most
GROWTH, GROWTH_BYTES = 4, 65_536  # JSON has names where protobuf has numbers; more than this is made to fill memory
VARINT_BYTES = 10  # of 64 bits
# Fields that Kubernetes has given up, and that Go wrote with or without a value: clusterName until 1.23, the status until 1.27.
RETIRED = {
    "apimachinery/apis/meta/v1.ObjectMeta": 15,
    "api/networking/v1.NetworkPolicy": 3,
    "api/extensions/v1beta1.NetworkPolicy": 3,
}

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_WIRES = {"int32": _VARINT, "int64": _VARINT, "bool": _VARINT, "double": _FIXED64}
_WIRE_NAMES = ("varint", "fixed64", "bytes", "group", "end of a group", "fixed32")
_HIGHEST = 2**29 - 1  # of a field's number


def as_json(content: bytes) -> bytes:
    """The object as JSON text. Raises ProtobufError."""
    text = json.dumps(decoded(content), ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > GROWTH * len(content) + GROWTH_BYTES:
        raise ProtobufError(f"its protobuf of {len(content)} bytes is JSON of {len(text)}: send it as application/json")
    return text


def decoded(content: bytes) -> dict[str, Any]:
    """The object. Raises ProtobufError."""
    if not content.startswith(MAGIC):
        raise ProtobufError("its protobuf does not begin with k8s\\0, as objects of Kubernetes do")
    reader = _Reader(content)
    version, kind, start, end = reader.envelope()
    of = messages().kinds.get((version, kind))
    if of is None:
        raise ProtobufError(
            f"it is a {quoted(kind)} of {quoted(version)} in protobuf, which is not known: send it as application/json"
        )
    found = reader.message(of, start, end, 1)
    return {"apiVersion": version, "kind": kind, **found}


class _Reader:
    """Reads one content; ``start`` and ``end`` are places in it. Counts what it makes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = VALUES

    # Messages -----------------------------------------------------------------------------------------------------------

    def envelope(self) -> tuple[str, str, int, int]:
        """Version, kind, and from where to where the object is."""
        parts = self._spans(len(MAGIC), len(self._data), "its envelope", 4)
        for number in (3, 4):  # contentEncoding and contentType: what would be in there is no protobuf
            if number in parts and parts[number][0] < parts[number][1]:
                raise ProtobufError("the object in its envelope is said to be encoded in a way of its own, which is not read")
        if 1 not in parts or 2 not in parts:
            raise ProtobufError("its envelope has no object in it, or does not say of which version and kind it is")
        meta = self._spans(*parts[1], "its envelope's type", 2)
        version, kind = (self._text(*meta.get(number, (0, 0))) for number in (1, 2))
        return version, kind, *parts[2]

    def _spans(self, at: int, end: int, what: str, highest: int) -> dict[int, tuple[int, int]]:
        """Where the fields of a message are that has nothing but texts and messages, each of them once."""
        found: dict[int, tuple[int, int]] = {}
        while at < end:
            number, wire, at = self._key(at, end)
            if number > highest:
                raise ProtobufError(f"{what} has a field {number}, which is not known")
            if number in found:
                raise ProtobufError(f"{what} has field {number} twice")
            at, stop = self._span(number, wire, at, end)
            found[number] = at, stop
            at = stop
        return found

    def message(self, of: str, at: int, end: int, depth: int) -> dict[str, Any]:
        """A message of the table, as an object."""
        if depth > DEPTH:
            raise ProtobufError(f"its protobuf is deeper than {DEPTH}")
        fields = messages().fields[of]
        made: dict[str, Any] = {}
        seen: set[int] = set()
        while at < end:
            number, wire, at = self._key(at, end)
            field = fields.get(number)
            if field is None:
                at = self._gone(of, number, wire, at, end)
                continue
            if field.many is Many.ONE:
                if number in seen:
                    raise ProtobufError(f"its protobuf has {of.rpartition('.')[2]}.{field.name} twice")
                seen.add(number)
                value, at = self._one(field, wire, at, end, depth)
                if field.name == INLINE:
                    _put(made, value)
                elif value or not field.drops_zero:  # what Go's omitempty takes for nothing, and a time that is none
                    _put(made, {field.name: value})
            elif field.many is Many.LIST:
                at = self._listed(made.setdefault(field.name, []), field, wire, at, end, depth)
            else:
                at = self._entry(made.setdefault(field.name, {}), field, wire, at, end, depth)
        return made

    def _gone(self, of: str, number: int, wire: int, at: int, end: int) -> int:
        """A field that is not in the table. Older clients write some that are no more, with nothing in them."""
        if number == RETIRED.get(of):
            at, stop = self._span(number, wire, at, end)
            if at == stop:
                return at
        raise ProtobufError(
            f"its protobuf has a field {number} in {of.rpartition('.')[2]}, which is not known here and would be lost: "
            "send it as application/json"
        )

    def _listed(self, made: list[Any], field: Field, wire: int, at: int, end: int, depth: int) -> int:
        """One more of a list, or a packed run of numbers."""
        if wire != _BYTES or field.of not in _WIRES:
            value, at = self._one(field, wire, at, end, depth)
            made.append(value)
            return at
        at, stop = self._span(field.number, wire, at, end)
        while at < stop:
            value, at = self._one(field, _WIRES[field.of], at, stop, depth)
            made.append(value)
        return stop

    def _entry(self, made: dict[str, Any], field: Field, wire: int, at: int, end: int, depth: int) -> int:
        """One more of a map: a message of key and value."""
        at, stop = self._span(field.number, wire, at, end)
        found: dict[int, Any] = {}
        while at < stop:
            number, wire, at = self._key(at, stop)
            if number not in (1, 2) or number in found:
                raise ProtobufError(f"its protobuf has a map {field.name} of more than keys and values")
            if number == 1:
                start, at = self._span(number, wire, at, stop)
                found[1] = self._text(start, at)
            else:
                found[2], at = self._one(field, wire, at, stop, depth)
        if field.of == "bytes":
            found.setdefault(2, "")  # Go writes nothing for bytes that it has not
        if len(found) != 2:
            raise ProtobufError(f"its protobuf has an entry of {field.name} without key or value")
        if found[1] in made:
            raise ProtobufError(f"its protobuf has {quoted(found[1])} twice in {field.name}")
        made[found[1]] = found[2]
        return stop

    # Values -------------------------------------------------------------------------------------------------------------

    def _one(self, field: Field, wire: int, at: int, end: int, depth: int) -> tuple[Any, int]:
        """A value of a field, and where it ends."""
        self._left -= 1
        if self._left < 0:
            raise ProtobufError(f"its protobuf has more than {VALUES} values")
        if field.of == "string":
            at, stop = self._span(field.number, wire, at, end)
            return self._text(at, stop), stop
        if not field.is_message:
            return self._plain(field.of, field.number, wire, at, end)
        at, stop = self._span(field.number, wire, at, end)
        made = self.message(field.of, at, stop, depth + 1)
        either = EITHER.get(field.of.rpartition(".")[2])
        return either(made) if either is not None else made, stop

    def _plain(self, of: str, number: int, wire: int, at: int, end: int) -> tuple[Any, int]:
        if wire != _WIRES.get(of, _BYTES):
            raise _unfit(number, wire)
        match of:
            case "string":
                at, stop = self._span(number, wire, at, end)
                return self._text(at, stop), stop
            case "bytes":
                at, stop = self._span(number, wire, at, end)
                return base64.b64encode(self._data[at:stop]).decode(), stop
            case "double":
                return self._double(at, end), at + 8
            case "int32" | "int64" | "bool":
                value, at = self._varint(at, end)
                return _numbered(of, value), at
            case _:
                at, stop = self._span(number, wire, at, end)
                return self._special(of, at, stop), stop

    def _special(self, of: str, at: int, end: int) -> Any:
        special = SPECIAL[of]
        found: dict[int, Any] = {}
        while at < end:
            number, wire, at = self._key(at, end)
            part = special.fields.get(number)
            if part is None or (number in found and part != STRINGS):
                raise ProtobufError(f"its protobuf has a {of} with a field {number} that is not known, or comes twice")
            if part == STRINGS:
                self._left -= 1
                value, at = self._plain("string", number, wire, at, end)
                found.setdefault(number, []).append(value)
            elif part == "bytes":
                start, at = self._span(number, wire, at, end)
                found[number] = self._data[start:at]
            else:
                found[number], at = self._plain(part, number, wire, at, end)
        if self._left < 0:
            raise ProtobufError(f"its protobuf has more than {VALUES} values")
        return special.value(found)

    # What protobuf is made of ---------------------------------------------------------------------------------------------

    def _key(self, at: int, end: int) -> tuple[int, int, int]:
        """Number and wire type of the field that begins here, and where its value does."""
        key = self._data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = self._varint(at, end)
        if not 1 <= key >> 3 <= _HIGHEST:
            raise ProtobufError(f"its protobuf has a field of number {key >> 3}")
        return key >> 3, key & 7, at

    def _span(self, number: int, wire: int, at: int, end: int) -> tuple[int, int]:
        """From where to where a value is that says how long it is."""
        if wire != _BYTES:
            raise _unfit(number, wire)
        if at < end and self._data[at] < 0x80:
            length, at = self._data[at], at + 1
        else:
            length, at = self._varint(at, end)
        if length > end - at:
            raise ProtobufError(f"its protobuf has a field {number} of {length} bytes where {end - at} are left")
        return at, at + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for index in range(VARINT_BYTES):
            if at >= end:
                raise ProtobufError("its protobuf ends in the middle of a number")
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >> 64 or (byte == 0 and index):
                    break
                return value, at
        raise ProtobufError("its protobuf has a number that is longer than it needs to be, or than 64 bits")

    def _double(self, at: int, end: int) -> float:
        if end - at < 8:
            raise ProtobufError("its protobuf ends in the middle of a number")
        value: float = struct.unpack_from("<d", self._data, at)[0]
        if not math.isfinite(value):
            raise ProtobufError(f"its protobuf has the number {value}, which JSON has not")
        return value

    def _text(self, at: int, end: int) -> str:
        try:
            return self._data[at:end].decode()
        except UnicodeDecodeError:
            raise ProtobufError("its protobuf has a text that is not UTF-8") from None


def _unfit(number: int, wire: int) -> ProtobufError:
    name = _WIRE_NAMES[wire] if wire < len(_WIRE_NAMES) else str(wire)
    return ProtobufError(f"its protobuf has a field {number} of wire type {name}, which is not that field's")


def _numbered(of: str, value: int) -> int | bool:
    if of == "bool":
        if value > 1:
            raise ProtobufError(f"its protobuf has {value} for true or false")
        return bool(value)
    signed = value - 2**64 if value >> 63 else value
    if of == "int32" and not -(2**31) <= signed < 2**31:
        raise ProtobufError(f"its protobuf has {signed} for a number of 32 bits")
    return signed


def _put(made: dict[str, Any], more: dict[str, Any]) -> None:
    """Among the fields that are there, and over none of them."""
    if not made.keys().isdisjoint(more):
        raise ProtobufError(f"its protobuf has {', '.join(made.keys() & more.keys())} in two ways")
    made |= more
