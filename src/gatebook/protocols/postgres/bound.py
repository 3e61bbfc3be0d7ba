"""An approved write on its way, held to the rows that people saw in its preview.

It is sent with a RETURNING of the gateway's own (``bonds.py``), whose last column is a hash of each row. The hashes are taken
out of the answer again: the client sees the columns that it asked for, or none. Whether they make the digest of the bond is
known at the end, like the number of rows under a ceiling (``ceilings.py``), and nothing is shown before.
"""

from __future__ import annotations

from struct import Struct

from gatebook.model import Permit
from gatebook.protocols.postgres import quoting, wire
from gatebook.protocols.postgres.asked import Asked, AskedBind, AskedExecute, AskedQuery
from gatebook.protocols.postgres.bonds import Bond, bound_text
from gatebook.protocols.postgres.catalog import Catalog
from gatebook.protocols.postgres.drafts import Apart, take_apart
from gatebook.protocols.postgres.hashes import Hashes

_U16 = Struct("!H")


def text_of(asked: AskedQuery | AskedBind) -> str:
    """The text that runs, with what tokens in it stand for."""
    return wire.query_text(asked.body) if isinstance(asked, AskedQuery) else asked.prepared.reading.text


def rewritten(asked: AskedQuery | AskedBind, permit: Permit, catalog: Catalog, key: bytes) -> tuple[str, Hashes] | None:
    """The text to send in its place, when it is held to its rows. Only where ``unfit`` found nothing."""
    bond = Bond.of(permit.conditions)
    if bond is None or not bond.digest:
        return None
    apart = take_apart(text_of(asked))
    known = catalog.by_name.get(apart.target) if isinstance(apart, Apart) else None
    if not isinstance(apart, Apart) or known is None:
        raise AssertionError("a write that cannot be held to its rows was let through")
    table = f"{quoting.identifier(known.schema)}.{quoting.identifier(known.tables[0])}"
    return bound_text(apart, table, bond), Hashes(bond, key, shows=bool(apart.outputs))


def unfit(asked: Asked, permit: Permit, catalog: Catalog) -> str:
    """Why this cannot be held to the rows that people saw, so that it may not run; empty where it can, or need not."""
    bond = Bond.of(permit.conditions)
    if bond is None or not bond.digest:
        return ""
    if isinstance(asked, AskedExecute):
        return "" if asked.portal.hashes is not None else "it was bound before people saw what it changes; bind it again"
    apart = take_apart(text_of(asked)) if isinstance(asked, AskedQuery | AskedBind) else ""
    if not isinstance(apart, Apart) or catalog.by_name.get(apart.target) is None:
        return "what it changes could not be looked up, so it cannot be held to what people saw; send it again"
    return ""


def statement_of(text: str, name: str, types: tuple[int, ...]) -> bytes:
    """A Parse of the gateway's own, behind a Close for what one before it left."""
    named = name.encode() + b"\0"
    listed = _U16.pack(len(types)) + b"".join(one.to_bytes(4) for one in types)
    return wire.message(b"C", b"S" + named) + wire.message(b"P", named + text.encode() + b"\0" + listed)


def bind_of(body: bytes, name: str) -> bytes:
    """The client's Bind, of the statement of this name, and with a format for the hash behind those of its own columns."""
    portal = body.index(b"\0") + 1
    rest = body.index(b"\0", portal) + 1
    at = rest
    (count,) = _U16.unpack_from(body, at)
    at += 2 + 2 * count
    (count,) = _U16.unpack_from(body, at)
    at += 2
    for _ in range(count):
        size = int.from_bytes(body[at : at + 4])
        at += 4 if size == 0xFFFFFFFF else 4 + size
    (count,) = _U16.unpack_from(body, at)
    formats = body[at:] if count < 2 else _U16.pack(count + 1) + body[at + 2 :] + _U16.pack(0)
    return wire.message(b"B", body[:portal] + name.encode() + b"\0" + body[rest:at] + formats)
