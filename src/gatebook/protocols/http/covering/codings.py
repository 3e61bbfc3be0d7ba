"""Content codings (RFC 9110, 8.4): taken off to cover what is inside, and put on again, as it streams.

What a few bytes blow up to is bounded as a whole (``RATIO``, once it is more than ``FREE``), and comes out in pieces, so that
memory stays what it is. Content that is cut off, damaged or followed by something else raises WireError.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import brotli
import zstandard

from gatebook.errors import WireError
from gatebook.protocols.http.covering.plan import Counts, Coverer

CODINGS = ("gzip", "deflate", "br", "zstd")
STACKED = 2  # codings on top of each other
RATIO = 250  # bytes that a byte may become; gzip reaches 1,000, but only with what says nothing
FREE = 16_777_216  # bytes that are not asked what they came from
PIECE = 65_536  # bytes that come out at once
WINDOW = 8_388_608  # bytes that zstd may look back (RFC 9659)
_SLICE = 256  # bytes of zstd taken at once: its decoder gives all it can make of them, up to 8 MiB
_NAMES = {"x-gzip": "gzip"}


def codings_of(values: Iterator[bytes]) -> tuple[str, ...] | None:
    """The codings of a Content-Encoding, the outermost last; None for one that is not known here."""
    listed = [one.strip().lower() for value in values for one in value.decode("latin-1").split(",")]
    names = tuple(_NAMES.get(one, one) for one in listed if one not in ("", "identity"))
    return names if len(names) <= STACKED and all(one in CODINGS for one in names) else None


def acceptable(accepted: bytes | None) -> bytes:
    """What a target is told to accept: of what the client takes, what can be read here."""
    if accepted is None:
        return b"identity"
    kept = []
    for one in accepted.decode("latin-1").split(","):
        name, _, parameters = one.strip().partition(";")
        if name.strip().lower() in (*CODINGS, *_NAMES, "identity"):
            kept.append(f"{name.strip().lower()};{parameters.strip()}" if parameters.strip() else name.strip().lower())
    return ", ".join(kept).encode("latin-1") or b"identity"


class _Decoder(Protocol):
    def pieces(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


class _Zlib:
    """gzip and deflate. A gzip may have several members; deflate may come without its zlib frame, as some servers send it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = b""
        self._inner: Any = zlib.decompressobj(31) if name == "gzip" else None
        self._fed = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._begun += data
            if len(self._begun) < 2:
                return
            framed = self._begun[0] & 15 == 8 and int.from_bytes(self._begun[:2]) % 31 == 0
            self._inner, data, self._begun = zlib.decompressobj(15 if framed else -15), self._begun, b""
        while data:
            if self._inner.eof:
                if self._name != "gzip":
                    raise WireError(f"something stands behind the content in {self._name}")
                self._inner = zlib.decompressobj(31)
            self._fed = True
            try:
                piece = self._inner.decompress(data, PIECE)
            except zlib.error:
                raise WireError(f"content in {self._name} that is damaged") from None
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            if piece:
                yield piece

    def finish(self) -> None:
        if self._begun or (self._fed and not self._inner.eof):
            raise WireError(f"content in {self._name} that is cut off")


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._fed = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        more = bool(data)
        while more:
            if self._fed and data and self._inner.is_finished():
                raise WireError("something stands behind the content in br")
            self._fed = True
            try:
                piece = self._inner.process(data, output_buffer_limit=PIECE)
            except brotli.error:
                raise WireError("content in br that is damaged") from None
            data = b""
            more = not self._inner.is_finished() and (bool(piece) or not self._inner.can_accept_more_data())
            if piece:
                yield piece

    def finish(self) -> None:
        if self._fed and not self._inner.is_finished():
            raise WireError("content in br that is cut off")


class _Zstd:
    def __init__(self) -> None:
        self._make = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        self._inner = self._make.decompressobj()
        self._fed = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _SLICE):
            part = data[at : at + _SLICE]
            while part:
                if self._inner.eof:  # several frames may follow each other
                    self._inner = self._make.decompressobj()
                self._fed = True
                try:
                    whole = self._inner.decompress(part)
                except zstandard.ZstdError:
                    raise WireError("content in zstd that is damaged") from None
                part = self._inner.unused_data if self._inner.eof else b""
                for start in range(0, len(whole), PIECE):
                    yield whole[start : start + PIECE]

    def finish(self) -> None:
        if self._fed and not self._inner.eof:
            raise WireError("content in zstd that is cut off")


class _Encoder:
    """Puts a coding on. All that was given comes out with each ``add``: somebody may be waiting for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        if name == "br":
            self._inner: Any = brotli.Compressor(quality=4)
        elif name == "zstd":
            self._inner = zstandard.ZstdCompressor(level=3).compressobj()
        else:
            self._inner = zlib.compressobj(4, zlib.DEFLATED, 31 if name == "gzip" else 15)

    def add(self, data: bytes) -> bytes:
        """The data, coded."""
        if not data:
            return b""
        if self._name == "br":
            return bytes(self._inner.process(data) + self._inner.flush())
        if self._name == "zstd":
            return bytes(self._inner.compress(data) + self._inner.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        return bytes(self._inner.compress(data) + self._inner.flush(zlib.Z_SYNC_FLUSH))

    def finish(self) -> bytes:
        """The end of the coding."""
        return bytes(self._inner.finish() if self._name == "br" else self._inner.flush())


class Coded:
    """Covers what is inside of codings by another coverer."""

    def __init__(self, codings: tuple[str, ...], inner: Coverer) -> None:
        self._inner = inner
        self._decoders = [_decoder(name) for name in reversed(codings)]
        self._encoders = [_Encoder(name) for name in codings]
        self._taken = self._made = 0

    @property
    def masked(self) -> Counts:
        """What was covered inside."""
        return self._inner.masked

    def feed(self, data: bytes) -> bytes:
        """The data covered, in the same codings. Raises WireError."""
        self._taken += len(data)
        return b"".join(self._coded(self._inner.feed(piece)) for piece in self._pieces(data, 0))

    def finish(self) -> bytes:
        """The end of it. Raises WireError when a coding is not complete."""
        for decoder in self._decoders:
            decoder.finish()
        if not self._taken:
            return self._inner.finish()  # no content at all is in no coding
        out = self._coded(self._inner.finish())
        for number, encoder in enumerate(self._encoders):
            ended = encoder.finish()
            for later in self._encoders[number + 1 :]:
                ended = later.add(ended)
            out += ended
        return out

    def _pieces(self, data: bytes, level: int) -> Iterator[bytes]:
        if level == len(self._decoders):
            yield data
            return
        for piece in self._decoders[level].pieces(data):
            self._made += len(piece)
            if self._made > FREE + RATIO * self._taken:
                raise WireError(f"{self._taken} bytes of content that become more than {self._made}")
            yield from self._pieces(piece, level + 1)

    def _coded(self, data: bytes) -> bytes:
        for encoder in self._encoders:
            data = encoder.add(data)
        return data


def _decoder(name: str) -> _Decoder:
    if name == "br":
        return _Brotli()
    return _Zstd() if name == "zstd" else _Zlib(name)


class Decoding:
    """Takes codings off as content streams. How much may come of it is the caller's to bound, who may stop at any piece."""

    def __init__(self, codings: tuple[str, ...]) -> None:
        self._decoders = [_decoder(name) for name in reversed(codings)]

    def pieces(self, data: bytes, level: int = 0) -> Iterator[bytes]:
        """What comes of this data. Raises WireError for what is damaged."""
        if level == len(self._decoders):
            yield data
            return
        for piece in self._decoders[level].pieces(data):
            yield from self.pieces(piece, level + 1)


def decoded(data: bytes, codings: tuple[str, ...], most: int) -> bytes:
    """What stands inside, at most so many bytes of it, for a log. Raises WireError for what is damaged."""
    pieces: list[bytes] = [data]
    for name in reversed(codings):
        decoder, out, size = _decoder(name), [], 0
        for piece in pieces:
            for part in decoder.pieces(piece):
                out.append(part)
                size += len(part)
                if size > most:
                    break
        pieces = out
    return b"".join(pieces)[:most]
