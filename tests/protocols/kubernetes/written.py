"""Protobuf as clients of Kubernetes write it, by hand: numbers of fields and their values."""

from __future__ import annotations

from typing import Any

from gatebook.protocols.kubernetes.protobuf import MAGIC


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: bytes | str | int | bool) -> bytes:
    """A text, message or bytes by its length, a number as a varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(int(value))
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(*fields: tuple[int, Any]) -> bytes:
    return b"".join(field(number, value) for number, value in fields)


def wrapped(version: str, kind: str, raw: bytes, *more: tuple[int, Any]) -> bytes:
    """The object in its envelope, as client-go ends it: with two empty texts."""
    told = more or ((3, ""), (4, ""))
    return MAGIC + message((1, message((1, version), (2, kind))), (2, raw), *told)


def pod(*spec: tuple[int, Any], name: str = "x") -> bytes:
    return wrapped("v1", "Pod", message((1, message((1, name), (3, "prod"))), (2, message(*spec)), (3, b"")))


CONTAINER = message((1, "main"), (2, "registry/web:1"))
PRIVILEGED = message((1, "main"), (2, "registry/web:1"), (15, message((2, True))))
