"""Function call messages: those of large objects, read as the SELECT that would call the same function.

libpq's ``lo_…`` functions, psql's ``\\lo_…`` and JDBC's LargeObject send them, naming a function by its OID, which never
changes for a built-in one (pg_proc.dat). Others are not carried: what an OID stands for could only be looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.oids import BYTEA, INT8
from gatebook.protocols.postgres.rows import Column

_INT4, _OID = 23, 26
_OID_BYTES = 4
_FORMS = (b"\0\0", b"\0\1")
NOT_CARRIED = "function call messages are carried for large objects alone; use SELECT f(…)"


class Function(NamedTuple):
    """A function that may be called so. Types are OIDs."""

    name: str
    takes: tuple[int, ...]
    gives: int

    @property
    def text(self) -> str:
        """The SELECT that calls it."""
        return f"SELECT pg_catalog.{self.name}({', '.join(f'${number}' for number in range(1, len(self.takes) + 1))})"


FUNCTIONS = {
    715: Function("lo_create", (_OID,), _OID),
    952: Function("lo_open", (_OID, _INT4), _INT4),
    953: Function("lo_close", (_INT4,), _INT4),
    954: Function("loread", (_INT4, _INT4), BYTEA),
    955: Function("lowrite", (_INT4, BYTEA), _INT4),
    956: Function("lo_lseek", (_INT4, _INT4, _INT4), _INT4),
    957: Function("lo_creat", (_INT4,), _OID),
    958: Function("lo_tell", (_INT4,), _INT4),
    964: Function("lo_unlink", (_OID,), _INT4),
    1004: Function("lo_truncate", (_INT4, _INT4), _INT4),
    3170: Function("lo_lseek64", (_INT4, INT8, _INT4), INT8),
    3171: Function("lo_tell64", (_INT4,), INT8),
    3172: Function("lo_truncate64", (_INT4, INT8), _INT4),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A function call message. ``function`` is None for one that is not carried; ``form`` is the format of its answer."""

    function: Function | None
    given: wire.Bind
    form: int


def parse(body: bytes) -> Call:
    """Take a function call message apart. Raises WireError."""
    if len(body) < _OID_BYTES:
        raise WireError(f"a function call message of {len(body)} bytes")
    formats, values, pos = wire.parameters(body, _OID_BYTES)
    if body[pos:] not in _FORMS:
        raise WireError(f"function call: {body[pos : pos + 8]!r} is no format of an answer")
    found = FUNCTIONS.get(int.from_bytes(body[:_OID_BYTES]))
    carried = found if found is not None and len(found.takes) == len(values) else None
    return Call(carried, wire.Bind("", "", formats, values), _FORMS.index(body[pos:]))


@lru_cache(len(FUNCTIONS) * 2)
def answer(called: Function, form: int) -> tuple[Column, ...]:
    """The one column of its answer."""
    return (Column(called.name, 0, 0, called.gives, form),)
