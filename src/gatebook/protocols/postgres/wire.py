"""PostgreSQL's frontend/backend protocol 3: frames and messages, no more (manual: "Frontend/Backend Protocol").

A connection starts with untyped packets (length, code); after the startup packet every message is a type byte, a length that
counts itself, and a body. ``Frames`` (``frames.py``) cuts a byte stream into these; every function here builds or takes apart
one message. Whatever does not fit raises ``WireError`` naming the value that was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct, error

from gatebook.errors import WireError
from gatebook.protocols.postgres.frames import Frames as Frames

PROTOCOL_3_0 = 0x30000
MINORS = (0, 2)  # spoken with clients; 1 was never given out, and 2 has longer cancel keys (manual: "Protocol Versions")
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102

CLIENT_BYTES = 16_777_216  # one client message; a longer statement or parameter is refused with its length
SERVER_BYTES = 67_108_864  # one server message: a row is covered whole, so it must fit in memory, and each session has one
NULL = 0xFFFFFFFF  # in the place of a value's length
NAME_BYTES = 63  # of a statement's or portal's name: the server cuts longer ones, so that two names could become one
TOKEN_BYTES = 65_536  # a password message
SETTINGS = 200  # reported by a server at the login; PostgreSQL 18 reports 15

_U16 = Struct("!H")
_U32 = Struct("!I")
_HEAD = Struct("!cI")


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Build one typed message."""
    return _HEAD.pack(kind, len(body) + 4) + body


def cstring(data: bytes, start: int) -> tuple[str, int]:
    """Read a zero-terminated string; returns it with the offset behind it. Raises WireError."""
    end = data.find(b"\0", start)
    if end < 0:
        raise WireError(f"string at byte {start} has no end")
    try:
        return data[start:end].decode("utf-8"), end + 1
    except UnicodeDecodeError as fault:
        raise WireError(f"string at byte {start} is not UTF-8: byte {data[start + fault.start]:#04x}") from None


def _name(data: bytes, start: int) -> tuple[str, int]:
    if data[start : start + 1] == b"\0":  # as most are
        return "", start + 1
    name, end = cstring(data, start)
    if end - start - 1 > NAME_BYTES:
        raise WireError(
            f"a statement or portal name of {end - start - 1} bytes: the server keeps {NAME_BYTES}; use a shorter one"
        )
    return name, end


def _u16(data: bytes, pos: int) -> tuple[int, int]:
    try:
        return _U16.unpack_from(data, pos)[0], pos + 2
    except error:
        raise WireError(f"message ends at byte {len(data)}, a 16-bit number was due at {pos}") from None


def _u32(data: bytes, pos: int) -> tuple[int, int]:
    try:
        return _U32.unpack_from(data, pos)[0], pos + 4
    except error:
        raise WireError(f"message ends at byte {len(data)}, a 32-bit number was due at {pos}") from None


# Start of a connection -------------------------------------------------------------------------------------------------


def code_of(packet: bytes) -> int:
    """The request code or protocol version of a start packet."""
    return _u32(packet, 0)[0]


def startup_parameters(packet: bytes) -> dict[str, str]:
    """Name and value pairs of a StartupMessage. Raises WireError for a name given twice or a missing terminator."""
    found: dict[str, str] = {}
    pos = 4
    while pos < len(packet) and packet[pos]:
        name, pos = cstring(packet, pos)
        value, pos = cstring(packet, pos)
        if name in found:
            raise WireError(f"startup parameter {name!r} is given twice")
        found[name] = value
    if pos != len(packet) - 1:
        raise WireError(f"startup packet of {len(packet)} bytes does not end where its parameters do ({pos})")
    return found


def startup(parameters: Mapping[str, str]) -> bytes:
    """Build a StartupMessage of protocol 3.0."""
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return _U32.pack(len(body) + 8) + _U32.pack(PROTOCOL_3_0) + body


def ssl_request() -> bytes:
    """Build an SSLRequest."""
    return _U32.pack(8) + _U32.pack(SSL_REQUEST)


def cancel_request(key: bytes) -> bytes:
    """Build a CancelRequest for a backend's key data (process id and secret)."""
    return _U32.pack(8 + len(key)) + _U32.pack(CANCEL_REQUEST) + key


def cancel_key(packet: bytes) -> bytes:
    """The key in a CancelRequest: process id and secret, 4 to 256 bytes of it."""
    if not 8 <= len(packet) - 4 <= 260:
        raise WireError(f"a cancel key of {len(packet) - 4} bytes; expected 8..260")
    return packet[4:]


def minor_of(code: int) -> int:
    """The newest minor version spoken here that is no newer than the one asked for."""
    return max(minor for minor in MINORS if minor <= code & 0xFFFF)


def negotiate(minor: int, unknown: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: we speak this minor version and know none of these options."""
    names = b"".join(name.encode() + b"\0" for name in unknown)
    return message(b"v", _U32.pack(PROTOCOL_3_0 | minor) + _U32.pack(len(unknown)) + names)


ASK_PASSWORD = message(b"R", _U32.pack(3))
AUTHENTICATED = message(b"R", _U32.pack(0))


def ask_sasl(mechanism: str) -> bytes:
    """AuthenticationSASL that offers one mechanism."""
    return message(b"R", _U32.pack(10) + mechanism.encode() + b"\0\0")


def sasl_continue(data: bytes) -> bytes:
    """AuthenticationSASLContinue."""
    return message(b"R", _U32.pack(11) + data)


def sasl_initial_response(body: bytes) -> tuple[str, bytes]:
    """Mechanism and data of a SASLInitialResponse."""
    mechanism, pos = cstring(body, 0)
    size, pos = _u32(body, pos)
    if size == NULL:
        size = 0
    if pos + size != len(body):
        raise WireError(f"SASLInitialResponse says {size} bytes and has {len(body) - pos}")
    return mechanism, body[pos:]


def authentication(body: bytes) -> tuple[int, bytes]:
    """The code of an Authentication message, and what follows it."""
    code, pos = _u32(body, 0)
    return code, body[pos:]


def password(body: bytes) -> str:
    """The password of a PasswordMessage."""
    value, pos = cstring(body, 0)
    if pos != len(body):
        raise WireError(f"password message has {len(body) - pos} bytes behind its password")
    return value


def sasl_initial(mechanism: str, data: str) -> bytes:
    """SASLInitialResponse."""
    raw = data.encode()
    return message(b"p", mechanism.encode() + b"\0" + _U32.pack(len(raw)) + raw)


def sasl_mechanisms(data: bytes) -> list[str]:
    """The mechanisms an AuthenticationSASL offers."""
    return [name.decode("ascii", "replace") for name in data.split(b"\0") if name]


def server_key(body: bytes) -> bytes:
    """A server's BackendKeyData. Raises WireError for one whose length no version of the protocol has."""
    if not 8 <= len(body) <= 260:
        raise WireError(f"the target's cancel key has {len(body)} bytes; expected 8..260")
    return body


def key_data(key: bytes) -> bytes:
    """BackendKeyData: the gateway's own, never the server's."""
    return message(b"K", key)


def parameter_status(body: bytes) -> tuple[str, str]:
    """Name and value of a ParameterStatus."""
    name, pos = cstring(body, 0)
    value, _ = cstring(body, pos)
    return name, value


# Requests --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parse:
    """A Parse message: statement name, text, and the OIDs of the parameter types that it names, 0 for those left open."""

    name: str
    text: str
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bind:
    """A Bind message. ``values`` are the parameters, None for NULL, in whichever format ``formats`` says."""

    portal: str
    statement: str
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]


def query_text(body: bytes) -> str:
    """The text of a Query."""
    text, pos = cstring(body, 0)
    if pos != len(body):
        raise WireError(f"query has {len(body) - pos} bytes behind its text")
    return text


def query(text: str) -> bytes:
    """Build a Query."""
    return message(b"Q", text.encode() + b"\0")


def parse(body: bytes) -> Parse:
    """Take a Parse apart."""
    name, pos = _name(body, 0)
    text, pos = cstring(body, pos)
    count, pos = _u16(body, pos)
    if pos + 4 * count != len(body):
        raise WireError(f"parse says {count} parameter types and has {len(body) - pos} bytes for them")
    return Parse(name, text, Struct(f"!{count}I").unpack_from(body, pos))


def bind(body: bytes) -> Bind:
    """Take a Bind apart, as far as a decision needs it, and check the rest."""
    portal, pos = _name(body, 0)
    statement, pos = _name(body, pos)
    given, values, pos = parameters(body, pos)
    _, pos = _formats(body, pos)
    if pos != len(body):
        raise WireError(f"bind has {len(body) - pos} bytes too many")
    return Bind(portal, statement, given, values)


def parameters(body: bytes, pos: int) -> tuple[tuple[int, ...], tuple[bytes | None, ...], int]:
    """The formats and values at this place of a message, and where they end."""
    formats, pos = _formats(body, pos)
    count, pos = _u16(body, pos)
    values: list[bytes | None] = []
    for number in range(count):
        size, pos = _u32(body, pos)
        if size == NULL:
            values.append(None)
            continue
        if pos + size > len(body):
            raise WireError(f"parameter {number + 1} of {size} bytes, {len(body) - pos} left")
        values.append(body[pos : pos + size])
        pos += size
    return formats, tuple(values), pos


def with_values(body: bytes, values: Sequence[bytes | None]) -> bytes:
    """A Bind that was taken apart before, with these values for its parameters."""
    _, pos = _name(body, 0)
    _, pos = _name(body, pos)
    _, pos = _formats(body, pos)
    count, start = _u16(body, pos)
    end = start
    for _ in range(count):
        size, end = _u32(body, end)
        end += 0 if size == NULL else size
    cells = (b"\xff\xff\xff\xff" if one is None else len(one).to_bytes(4) + one for one in values)
    return body[:start] + b"".join(cells) + body[end:]


def _formats(body: bytes, pos: int) -> tuple[tuple[int, ...], int]:
    count, pos = _u16(body, pos)
    found = []
    for _ in range(count):
        code, pos = _u16(body, pos)
        if code > 1:
            raise WireError(f"format code {code} is neither 0 nor 1")
        found.append(code)
    return tuple(found), pos


def describe(kind: str, name: str) -> bytes:
    """Build a Describe of a portal ("P") or statement ("S")."""
    return message(b"D", kind.encode() + name.encode() + b"\0")


def target_of(body: bytes) -> tuple[str, str]:
    """What a Describe or Close names: ("P" or "S", name)."""
    if body[:1] not in (b"P", b"S"):
        raise WireError(f"describe or close of {body[:1]!r}: expected 'P' or 'S'")
    name, pos = _name(body, 1)
    if pos != len(body):
        raise WireError(f"describe or close has {len(body) - pos} bytes too many")
    return body[:1].decode(), name


def execute_portal(body: bytes) -> str:
    """The portal an Execute names."""
    name, pos = _name(body, 0)
    _, pos = _u32(body, pos)
    if pos != len(body):
        raise WireError(f"execute has {len(body) - pos} bytes too many")
    return name


def execute(portal: str) -> bytes:
    """Build an Execute without a row limit."""
    return message(b"E", portal.encode() + b"\0" + _U32.pack(0))


def question(text: str, name: str, *, inside: bool = False) -> bytes:
    """A question of the gateway's own with its Sync, by a statement and portal of this name that are gone afterwards.

    ``inside`` a batch of the client's it has none, and is flushed.
    A Query would take the client's unnamed statement and portal with it. The first Close is for what an error left behind.
    """
    named = name.encode() + b"\0"
    return b"".join(
        (
            message(b"C", b"S" + named),
            message(b"P", named + text.encode() + b"\0\0\0"),
            message(b"B", named * 2 + b"\0\0" * 3),
            execute(name),
            message(b"C", b"P" + named),
            message(b"C", b"S" + named),
            message(b"H") if inside else SYNC,
        )
    )


QUESTION_CLOSES = 3  # the last of them is the last that a question has answered


SYNC = message(b"S")
TERMINATE = message(b"X")


# Answers ---------------------------------------------------------------------------------------------------------------


def report_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse by their letter; text that is not UTF-8 is replaced, not refused."""
    found: dict[str, str] = {}
    for part in body.split(b"\0"):
        if part:
            found.setdefault(chr(part[0]), part[1:].decode("utf-8", "replace"))
    return found


def notice_response(text: str, *, detail: str = "", hint: str = "") -> bytes:
    """Build a NoticeResponse in the gateway's own name (SQLSTATE 00000: all is well)."""
    return b"N" + error_response("NOTICE", "00000", text, detail=detail, hint=hint)[1:]


def error_response(severity: str, code: str, text: str, *, detail: str = "", hint: str = "", position: int = 0) -> bytes:
    """Build an ErrorResponse in the gateway's own name."""
    fields = [("S", severity), ("V", severity), ("C", code), ("M", text), ("D", detail), ("H", hint)]
    if position:
        fields.append(("P", str(position)))
    body = b"".join(f"{letter}{_clean(value)}".encode() + b"\0" for letter, value in fields if value)
    return message(b"E", body + b"\0")


def _clean(value: str) -> str:
    return value.replace("\0", "\ufffd")


def data_row(body: bytes) -> list[bytes | None]:
    """The cells of a DataRow. Raises WireError."""
    count, pos = _u16(body, 0)
    cells: list[bytes | None] = []
    for number in range(count):
        size, pos = _u32(body, pos)
        if size == NULL:
            cells.append(None)
            continue
        if pos + size > len(body):
            raise WireError(f"row: cell {number + 1} of {size} bytes, {len(body) - pos} left")
        cells.append(body[pos : pos + size])
        pos += size
    return cells


def rows_of(tag: str) -> int:
    """How many rows a command tag reports: its last word, 0 where there is none."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isascii() and last.isdigit() else 0
