"""How HTTP/1 content is cut from a stream, and how it is written (RFC 9112 §6 and §7).

Each reader takes from the front of a buffer: ``take(buffer)`` returns content and how many bytes were used up, and ``over``
says that the content is complete. Nothing is read past that.
"""

from __future__ import annotations

import re
from typing import Protocol

from gatebook.protocols.http.checks import TRAILER_BYTES, TRAILERS, MalformedError, fields_of, special, written
from gatebook.protocols.http.message import Fields

LINE_BYTES = 1_024  # a chunk's size with its extensions
EXTENSION_BYTES = 16_384  # of all chunks of one message together: more is paid for and means nothing
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[\t\x20-\x7e\x80-\xff]*+)?")

# How a message is framed, to whom it goes, who sends it and what its content means must be known before it (RFC 9110 §6.5.1).
_NO_TRAILERS = frozenset(
    b"""
    age authorization cache-control connection content-encoding content-length content-range content-type cookie date expect
    expires forwarded host if-match if-modified-since if-none-match if-range if-unmodified-since keep-alive location
    max-forwards pragma range retry-after set-cookie te trailer transfer-encoding upgrade vary via warning www-authenticate
    x-real-ip
    """.split()
)
_NO_TRAILERS_OF = (b"proxy-", b"x-forwarded-", b"gatebook-", b"sec-", b"x-http-method", b"x-original-", b"x-rewrite-")


def trailing(fields: Fields) -> Fields:
    """The trailers that may be passed on."""
    return tuple(
        field
        for field in fields
        if (name := field[0].replace(b"_", b"-")) not in _NO_TRAILERS and not name.startswith(_NO_TRAILERS_OF)
    )


class Content(Protocol):
    """Reads one message's content."""

    over: bool
    trailers: Fields

    def take(self, buffer: bytes) -> tuple[bytes, int]:
        """Content at the front of the buffer, and how many bytes it took up."""


class Counted:
    """Content of a known length, which may be 0."""

    trailers: Fields = ()

    def __init__(self, length: int) -> None:
        self.left = length
        self.over = not length

    def take(self, buffer: bytes) -> tuple[bytes, int]:
        """Content at the front of the buffer, and how many bytes it took up."""
        piece = buffer if len(buffer) <= self.left else buffer[: self.left]
        self.left -= len(piece)
        self.over = not self.left
        return piece, len(piece)


class UntilClosed:
    """Content that ends where the connection does; ``over`` is for whoever sees that."""

    trailers: Fields = ()
    over = False

    def take(self, buffer: bytes) -> tuple[bytes, int]:
        """All of it."""
        return buffer, len(buffer)


class Chunked:
    """Content in chunks (RFC 9112 §7.1). Extensions are dropped."""

    def __init__(self) -> None:
        self.over = False
        self.trailers: Fields = ()
        self._left = 0  # of the chunk that is being read
        self._inside = False  # a chunk's data, or the line end that is due behind it
        self._last = False  # the chunk of size 0 was seen
        self._extensions = 0

    def take(self, buffer: bytes) -> tuple[bytes, int]:
        """Content at the front of the buffer, and how many bytes it took up."""
        pieces: list[bytes] = []
        at = 0
        while not self.over:
            begun = at
            if self._left:
                piece = buffer[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            elif self._inside:
                at = self._line_end(buffer, at)
            elif self._last:
                at = self._trailers(buffer, at)
            else:
                at = self._size(buffer, at)
            if at == begun:
                break
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), at

    def _line_end(self, buffer: bytes, at: int) -> int:
        found = buffer[at : at + 2]
        if found == b"\r\n":
            self._inside = False
            return at + 2
        if found and found != b"\r":
            raise MalformedError("a chunk's data is not as long as its size says")
        return at

    def _size(self, buffer: bytes, at: int) -> int:
        end = buffer.find(b"\r\n", at, at + LINE_BYTES)
        if end < 0:
            if len(buffer) - at >= LINE_BYTES or b"\n" in buffer[at:]:
                raise MalformedError(f"a chunk's size does not end within {LINE_BYTES} bytes, or ends in a bare line feed")
            return at
        found = _SIZE.fullmatch(buffer, at, end)
        if found is None:
            raise MalformedError("a chunk's size is not one to eight hexadecimal digits")
        if found[2]:
            self._extensions += len(found[2])
            if self._extensions > EXTENSION_BYTES:
                raise MalformedError(f"chunk extensions of more than {EXTENSION_BYTES} bytes")
        self._left = int(found[1], 16)
        self._inside, self._last = self._left > 0, not self._left
        return end + 2

    def _trailers(self, buffer: bytes, at: int) -> int:
        if buffer.startswith(b"\r\n", at):
            self.over = True
            return at + 2
        end = buffer.find(b"\r\n\r\n", at, at + TRAILER_BYTES)
        if end < 0:
            if len(buffer) - at >= TRAILER_BYTES:
                raise MalformedError(f"trailers of more than {TRAILER_BYTES} bytes", 431)
            return at
        fields = fields_of(buffer, at, end + 2, TRAILERS)
        special(fields)
        self.trailers = trailing(fields)
        self.over = True
        return end + 4


class Outgoing:
    """Writes one message's content: of a length, in chunks (``length`` None), or as it is until the connection closes."""

    def __init__(self, length: int | None, *, plain: bool = False) -> None:
        self._left = length
        self._plain = plain

    @property
    def field(self) -> bytes:
        """The field line that says so."""
        if self._left is not None:
            return b"content-length: %d\r\n" % self._left
        return b"" if self._plain else b"transfer-encoding: chunked\r\n"

    def data(self, piece: bytes) -> bytes:
        """Bytes that carry this piece."""
        if self._left is not None:
            if len(piece) > self._left:
                raise MalformedError(f"content of {len(piece) - self._left} bytes more than its head says")
            self._left -= len(piece)
            return piece
        if self._plain or not piece:  # an empty chunk would be the last
            return piece
        return b"%x\r\n%b\r\n" % (len(piece), piece)

    def end(self, trailers: Fields) -> bytes:
        """Bytes that end it; trailers are left out where nothing can carry them."""
        if self._left:
            raise MalformedError(f"content of {self._left} bytes less than its head says")
        if self._plain or self._left is not None:
            return b""
        return b"0\r\n%b\r\n" % written(trailing(trailers)) if trailers else b"0\r\n\r\n"
