"""What a sound head is, whichever version carries it (RFC 9110 and 9112), and how large one may be.

Two parsers that disagree about where a message ends, whom it is for or what a field says are how requests are smuggled. So
nothing is repaired here: of two readings that a server may have, the message is refused, even where a standard allows either
(equal Content-Lengths, folded lines, bare line feeds, a space before a colon). What is accepted is taken apart once and written
anew (``h1.py``, ``h2.py``): no byte of a client's head reaches a target as it came.

Messages of ``MalformedError`` name fields and never show their values, which may be credentials.
"""

from __future__ import annotations

import re

from gatebook.errors import WireError
from gatebook.protocols.http.message import Fields

HEAD_BYTES = 65_536  # a head, its first line included
FIELDS = 128  # lines of a head
FIELDS_SENT = FIELDS + 32  # of one that is passed on, with what the gateway says itself
TARGET_BYTES = 16_384  # longer than any server or browser takes
TRAILER_BYTES = 8_192
TRAILERS = 32
LENGTH_DIGITS = 15  # of a Content-Length: 999 TB
AUTHORITY_BYTES = 261  # a name of 255 with a port

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
TEXT = rb"[\t\x20-\x7e\x80-\xff]*+"
# What RFC 3986 allows, and []^{|} which clients send unescaped. A backslash or a fragment means different things to servers.
TARGET = rb"[!$%&'()*+,\-./0-9:;=?@A-Z\[\]^_a-z{|}~]++"
METHOD = rb"[A-Z][A-Z-]{0,31}"  # in lower case some servers know it and some do not
_REQUEST_LINE = re.compile(rb"(%b) (%b) HTTP/1\.([01])\r\n" % (METHOD, TARGET))
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: %b)?\r\n" % TEXT)
_FIELD = re.compile(rb"^(%b):(%b)\r\n" % (TOKEN, TEXT), re.MULTILINE)
PROTOCOL = re.compile(rb"%b(?:/%b)?" % (TOKEN, TOKEN))  # as an Upgrade names one
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
_TEXT = re.compile(TEXT)
_LINES = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*+")
_EDGES = (b"\n ", b" \n", b"\n\t", b"\t\n")  # of values with line feeds around them
_METHOD = re.compile(METHOD)
_TARGET = re.compile(TARGET)
_AUTHORITY = re.compile(rb"(?:[0-9A-Za-z._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([1-9][0-9]{0,4}))?")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,%d}" % (LENGTH_DIGITS - 1))
_UNENDED = re.compile(rb"(?<!\r)\n|\r[^\n]")

# How long a message is, where it goes and what becomes of its connection: the codecs' to read and to write, nobody else's.
FRAMING = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"))
# Of these a server could take either of two.
_ONCE = frozenset((b"content-length", b"transfer-encoding", b"host", b"upgrade", b"expect", b"content-type", b"authorization"))
_SPECIAL = _ONCE | FRAMING | {b"te", b"sec-websocket-key", b"sec-websocket-version"}


class MalformedError(WireError):
    """Bytes that are no sound message; ``status`` is what a client that sent them is told."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def head_of(buffer: bytes, seen: int) -> int:
    """Where a head ends, behind its empty line, or 0 while it is not whole; ``seen`` bytes were looked at before.

    Raises for one that never can be whole.
    """
    end = buffer.find(b"\r\n\r\n", max(seen - 3, 0), HEAD_BYTES)
    if end >= 0:
        return end + 4
    if len(buffer) >= HEAD_BYTES:
        raise MalformedError(f"the head is longer than {HEAD_BYTES} bytes", 431)
    if _UNENDED.search(buffer, max(seen - 1, 0)):
        raise MalformedError("a line of the head ends in a bare line feed or carriage return; lines end in both")
    return 0


def request_line(head: bytes) -> tuple[str, str, int, int]:
    """Method, target and minor version of a request, and where its fields begin."""
    found = _REQUEST_LINE.match(head)
    if found is None:
        raise _no_request_line(head.partition(b"\r\n")[0])
    method, target, minor = found.groups()
    if len(target) > TARGET_BYTES:
        raise MalformedError(f"the target has {len(target)} bytes; at most {TARGET_BYTES} are taken", 414)
    return method.decode(), target.decode(), minor == b"1", found.end()


def _no_request_line(line: bytes) -> MalformedError:
    if b"\r" in line or b"\n" in line:
        return MalformedError("the request line ends in a bare line feed or carriage return")
    words = line.split(b" ")
    if len(words) != 3:
        return MalformedError("the request line is not three words with one space between them")
    if not _METHOD.fullmatch(words[0]):
        return MalformedError("the method is not a word in capitals", 501)
    if not _TARGET.fullmatch(words[1]):
        return MalformedError("the target has a byte that belongs percent-encoded")
    return MalformedError("the version is neither HTTP/1.1 nor HTTP/1.0", 505)


def status_line(head: bytes) -> tuple[int, int, int]:
    """Status and minor version of an answer, and where its fields begin."""
    found = _STATUS_LINE.match(head)
    if found is None:
        raise MalformedError("the answer does not begin with a status line of HTTP/1.1 or HTTP/1.0")
    return int(found[2]), found[1] == b"1", found.end()


def fields_of(head: bytes, begin: int, end: int, most: int = FIELDS) -> Fields:
    """The field lines between these places, which are ends of lines, names in lower case."""
    lines = head.count(b"\n", begin, end)
    if lines > most:
        raise MalformedError(f"{lines} fields; at most {most} are taken", 431)
    found = _FIELD.findall(head, begin, end)
    if len(found) != lines:  # each match is one whole line
        raise _no_fields(head[begin:end].split(b"\n")[:-1])
    return tuple([(name.lower(), value.strip(b" \t")) for name, value in found])


def _no_fields(lines: list[bytes]) -> MalformedError:
    number, line = next((at, one) for at, one in enumerate(lines, 1) if not _FIELD.match(one + b"\n"))
    if not line.endswith(b"\r"):
        return MalformedError(f"field {number} ends in a bare line feed; lines end in carriage return and line feed")
    if line[:1] in (b" ", b"\t"):
        return MalformedError(f"field {number} is folded or begins with a space; each field is one line")
    name, colon, _ = line.partition(b":")
    if not colon:
        return MalformedError(f"field {number} has no colon")
    if name.rstrip(b" \t") != name:
        return MalformedError(f"field {number} has a space before its colon")
    if not _NAME.fullmatch(name.lower()):
        return MalformedError(f"field {number} has a name that is no token")
    return MalformedError(f"field {number} has a control character in its value")


def sound(fields: Fields, most: int = FIELDS) -> None:
    """Raise for fields that HTTP/1.1 could not carry: the check of those that came another way (RFC 9113 §8.2.1)."""
    if len(fields) > most:
        raise MalformedError(f"{len(fields)} fields; at most {most} are taken", 431)
    if not fields:
        return
    names = [name for name, _ in fields]
    if b"" in names or not _NAME.fullmatch(b"".join(names)):
        raise MalformedError("a field has a name that is no token in lower case")
    values = b"\n%b\n" % b"\n".join([value for _, value in fields])
    if not _LINES.fullmatch(values) or values.count(b"\n") > len(fields) + 1 or any(edge in values for edge in _EDGES):
        raise MalformedError("a field has a value with a control character, or with a space at an end")


def written(fields: Fields) -> bytes:
    """The field lines of a head that is ours to write. Raises for what would not be read as the same fields."""
    if not fields:
        return b""
    names = [name for name, _ in fields]
    if b"" in names or not _NAME.fullmatch(b"".join(names)) or not _TEXT.fullmatch(b"".join([value for _, value in fields])):
        raise MalformedError("a field that no line can carry")
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def special(fields: Fields) -> dict[bytes, bytes]:
    """What decides over a message as a whole, by name. Raises where such a field is given twice or in disguise."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in _SPECIAL:
            if name in found:
                if name in _ONCE:
                    raise MalformedError(f"{name.decode()} is given twice")
                value = found[name] + b"," + value
            found[name] = value
        elif b"_" in name and name.replace(b"_", b"-") in _SPECIAL:
            # A server that hands fields on as variables reads both as one.
            raise MalformedError(f"{name.decode()} stands for a field of another name")
    return found


def length_of(found: dict[bytes, bytes]) -> int | None:
    """The Content-Length among special fields, None where none is."""
    value = found.get(b"content-length")
    if value is None:
        return None
    if not _LENGTH.fullmatch(value):
        raise MalformedError(f"content-length is not a number of at most {LENGTH_DIGITS} digits")
    return int(value)


def chunked(found: dict[bytes, bytes], minor: int) -> bool:
    """Whether HTTP/1 content is chunked. Raises for any other coding, and where a length is given too."""
    value = found.get(b"transfer-encoding")
    if value is None:
        return False
    if value.lower() != b"chunked":
        raise MalformedError("transfer-encoding is not exactly 'chunked'", 501)
    if not minor:
        raise MalformedError("transfer-encoding in HTTP/1.0")
    if b"content-length" in found:
        raise MalformedError("both content-length and transfer-encoding")
    return True


def listed(value: bytes | None) -> tuple[bytes, ...]:
    """The members of a list of tokens, in lower case."""
    if not value:
        return ()
    return tuple([one for part in value.lower().split(b",") if (one := part.strip(b" \t"))])


def authority_of(value: bytes) -> str:
    """A host, and port if there is one, in lower case."""
    found = _AUTHORITY.fullmatch(value)
    if found is None or len(value) > AUTHORITY_BYTES:
        if b"@" in value:
            raise MalformedError("the authority has a user's name before it; credentials belong in fields")
        raise MalformedError("the host is not a name or address with at most a port")
    if found[1] and int(found[1]) > 65_535:
        raise MalformedError("the host's port is none")
    return value.decode().lower()


def method_allowed(method: str) -> None:
    """Raise for the methods that are no requests to a resource: tunnels, and the one that shows credentials back."""
    if method in ("CONNECT", "TRACE"):
        raise MalformedError(f"{method} is not served here", 501)


def addressed(method: str, target: str, host: bytes | None, scheme: str) -> tuple[str, str]:
    """Authority and target of an HTTP/1 request, whichever form its target has (RFC 9112 §3.2)."""
    method_allowed(method)
    if host is None:
        raise MalformedError("the request names no host")
    authority = authority_of(host)
    if target.startswith("/"):
        return authority, target
    if target == "*":
        return authority, _asterisk(method)
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise MalformedError("the target begins neither with a slash nor with a scheme")
    if found[1].lower() != scheme:
        raise MalformedError(f"the target's scheme is not the connection's, {scheme}")
    if authority_of(found[2].encode()) != authority:
        raise MalformedError("the target and the Host field name different hosts")
    if not found[3] and method == "OPTIONS":
        return authority, "*"
    return authority, found[3] if found[3].startswith("/") else "/" + found[3]


def _asterisk(method: str) -> str:
    if method != "OPTIONS":
        raise MalformedError(f"the target * is for OPTIONS, not for {method}")
    return "*"


def target_sound(method: str, target: str) -> None:
    """Raise for what is neither a path with its query nor the asterisk of OPTIONS."""
    if not _METHOD.fullmatch(method.encode("ascii", "backslashreplace")):
        raise MalformedError("the method is not a word in capitals", 501)
    method_allowed(method)
    if target == "*":
        _asterisk(method)
    elif not target.startswith("/") or not _TARGET.fullmatch(target.encode("ascii", "backslashreplace")):
        raise MalformedError("the target is not a path, or has a byte that belongs percent-encoded")
    elif len(target) > TARGET_BYTES:
        raise MalformedError(f"the target has {len(target)} bytes; at most {TARGET_BYTES} are taken", 414)
