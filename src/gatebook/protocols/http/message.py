"""What an HTTP message is, whichever version carried it (RFC 9110): a head, pieces of content, an end with trailers.

The codecs (``h1.py``, ``h2.py``) make these of bytes and bytes of these; everything else here speaks of these alone. Names of
fields are in lower case. Nothing is decoded: what is no ASCII stays the bytes that it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    ``authority`` is the host, and port if it has one, that the client means; ``target`` the path with its query, as it was
    sent ("/a?b=c", or "*"); ``scheme`` is of the connection, whatever the client says. ``upgrade`` is the protocol that an
    Upgrade (HTTP/1.1) or an extended CONNECT (RFC 8441) asks for, in lower case, or "".
    """

    method: str
    scheme: str
    authority: str
    target: str
    fields: Fields
    upgrade: str = ""

    def all(self, name: bytes) -> Iterator[bytes]:
        """Every value of a field, in order."""
        return (value for known, value in self.fields if known == name)

    def get(self, name: bytes) -> bytes | None:
        """A field's first value."""
        return next(self.all(name), None)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What stands behind the first question mark."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an answer; ``status`` below 200 is not the last one (101 is: then the connection speaks another protocol)."""

    status: int
    fields: Fields

    def all(self, name: bytes) -> Iterator[bytes]:
        """Every value of a field, in order."""
        return (value for known, value in self.fields if known == name)

    def get(self, name: bytes) -> bytes | None:
        """A field's first value."""
        return next(self.all(name), None)


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of content, of at least one byte; how it was cut means nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""

    trailers: Fields = ()


Message: TypeAlias = Request | Response | Data | End
