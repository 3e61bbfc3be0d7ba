"""Frames of SPDY/3.1: the same however they are cut, and what is damaged, oversized or unknown ends the reading."""

from __future__ import annotations

import zlib
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.kubernetes.streams import cut, spdy_bytes

from gatebook.protocols.kubernetes import spdy
from gatebook.protocols.kubernetes.spdy import (
    Data,
    Frame,
    GoAway,
    More,
    Opened,
    Ping,
    Reader,
    Replied,
    Reset,
    Settings,
    SpdyError,
    Window,
)
from gatebook.protocols.kubernetes.spdy_headers import BLOCK_BYTES, DICTIONARY, FIELDS, Deflater, Inflater

WORD = st.integers(0, (1 << 32) - 1)
STREAM = st.integers(1, (1 << 31) - 1)
FIELD = st.dictionaries(
    st.from_regex(r"[a-z-]{1,20}", fullmatch=True), st.text(st.characters(codec="ascii"), max_size=30), max_size=6
)
FRAMES = st.one_of(
    st.builds(Opened, STREAM, FIELD, st.integers(0, 7), st.booleans()),
    st.builds(Replied, STREAM, FIELD, st.booleans()),
    st.builds(More, STREAM, FIELD, st.booleans()),
    st.builds(Reset, STREAM, st.integers(1, 11)),
    st.builds(Settings, st.lists(st.tuples(WORD, WORD), max_size=4).map(tuple), st.booleans()),
    st.builds(Ping, WORD),
    st.builds(GoAway, st.integers(0, (1 << 31) - 1), st.integers(0, 2)),
    st.builds(Window, st.integers(0, (1 << 31) - 1), st.integers(1, (1 << 31) - 1)),
    st.builds(Data, STREAM, st.binary(max_size=40), st.booleans()),
)  # fmt: skip


def joined(found: list[Frame]) -> list[Frame]:
    """Pieces of one data frame as one; an empty piece that ends nothing says nothing."""
    out: list[Frame] = []
    for one in found:
        before = out[-1] if out else None
        if isinstance(one, Data) and isinstance(before, Data) and before.stream == one.stream and not before.last:
            out[-1] = Data(one.stream, before.data + one.data, one.last)
        elif not isinstance(one, Data) or one.data or one.last:
            out.append(one)
    return out


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_frames_are_read_as_they_were_written_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    reader = Reader()
    found = [one for piece in cut(spdy_bytes(*frames), cuts) for one in reader.feed(piece)]
    assert joined(found) == joined(frames)


@given(st.binary(max_size=200))
def test_damaged_bytes_raise_nothing_but_their_own_error(data: bytes) -> None:
    for begun in (b"", b"\x80\x03", b"\x80\x03\x00\x01"):
        reader = Reader()
        try:
            reader.feed(begun + data)
        except SpdyError:
            with pytest.raises(SpdyError):
                reader.feed(b"\0")


def test_the_dictionary_is_the_one_that_every_peer_has() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def control(kind: int, body: bytes, *, flags: int = 0, version: int = 0x8003, size: int | None = None) -> bytes:
    return pack(">HHI", version, kind, flags << 24 | (len(body) if size is None else size)) + body


def block(*fields: tuple[bytes, bytes], count: int | None = None, more: bytes = b"") -> bytes:
    plain = pack(">I", len(fields) if count is None else count)
    for name, value in fields:
        plain += pack(">I", len(name)) + name + pack(">I", len(value)) + value
    packer = zlib.compressobj(9, zdict=DICTIONARY)
    return packer.compress(plain + more) + packer.flush(zlib.Z_SYNC_FLUSH)


def opening(headers: bytes, stream: int = 1, beside: int = 0, rest: bytes = b"\0\0", **more: int) -> bytes:
    return control(1, pack(">II", stream, beside) + rest + headers, **more)


GOOD = (b"streamtype", b"stdin")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (control(1, b"", version=0x8002), "version 2"),
        (control(5, b""), "unknown type 5"),
        (control(10, b"\0" * 8), "unknown type 10"),
        (control(6, b"\0" * 4, size=spdy.CONTROL_BYTES + 1), "control frame of 16385 bytes"),
        (control(6, b"\0" * 5), "type 6"),
        (control(6, b"\0" * 4, flags=1), "type 6"),
        (control(3, pack(">II", 1, 0)), "reset with status 0"),
        (control(3, pack(">II", 1, 12)), "reset with status 12"),
        (control(3, pack(">II", 0, 5)), "no stream"),
        (control(3, pack(">III", 1, 5, 0)), "type 3"),
        (control(4, pack(">I", 2) + b"\0" * 8), "type 4"),
        (control(4, pack(">I", 1 << 31)), "type 4"),
        (control(4, b"\0" * 3), "type 4"),
        (control(4, pack(">I", spdy.SETTINGS + 1) + b"\0" * 8 * (spdy.SETTINGS + 1)), "type 4"),
        (control(7, b"\0" * 4), "type 7"),
        (control(9, pack(">II", 1, 0)), "window update"),
        (control(9, pack(">II", 1, 1 << 31)), "window update"),
        (pack(">II", 0, 0), "no stream"),
        (pack(">II", 1, 2 << 24), "flags 0x2"),
        (opening(block(GOOD), stream=0), "no stream"),
        (opening(block(GOOD), stream=1 << 31), "no stream"),
        (opening(block(GOOD), beside=3), "beside another"),
        (opening(block(GOOD), rest=b"\0\1"), "beside another"),
        (opening(block(GOOD), rest=b"\1\0"), "beside another"),
        (opening(block(GOOD), flags=2), "type 1"),
        (control(1, b"\0" * 9), "type 1"),
        (control(2, b"\0" * 3), "type 2"),
        (opening(b"not compressed at all"), "not compressed"),
        (opening(zlib.compress(b"\0" * 4)), "end their compression"),
        (opening(block(GOOD)[:-9]), "shorter than they say"),
        (opening(block(GOOD, count=2)), "shorter than they say"),
        (opening(block(GOOD, more=b"x")), "longer than they say"),
        (opening(block(count=1 << 31)), "headers, of which"),
        (opening(block(*((b"a%d" % one, b"") for one in range(FIELDS + 1)))), "headers, of which"),
        (opening(block(GOOD, GOOD)), "stands twice"),
        (opening(block((b"Streamtype", b"x"))), "is none"),
        (opening(block((b"", b"x"))), "is none"),
        (opening(block((b"a", b"\xff"))), "no text"),
        (opening(block((b"a", b"x" * BLOCK_BYTES))), "headers of more than"),
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_refused_by_name(data: bytes, why: str) -> None:
    with pytest.raises(SpdyError, match=why):
        Reader().feed(data)


def test_a_bomb_in_the_headers_is_not_unpacked() -> None:
    packer = zlib.compressobj(9, zdict=DICTIONARY)
    bomb = packer.compress(b"\0" * 16_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < spdy.CONTROL_BYTES
    with pytest.raises(SpdyError, match="headers of more than"):
        Reader().feed(opening(bomb))


def test_headers_share_one_compression_in_each_direction() -> None:
    deflater, inflater = Deflater(), Inflater()
    sizes = []
    for _ in range(3):
        packed = deflater.write({"streamtype": "stdout", "port": "5432"})
        sizes.append(len(packed))
        assert inflater.read(packed) == {"streamtype": "stdout", "port": "5432"}
    assert sizes[1] < sizes[0]


def test_a_long_data_frame_is_never_held() -> None:
    reader = Reader()
    assert reader.feed(pack(">II", 1, 1 << 24 | 0xFFFFFF)) == []
    total = 0
    for _ in range(255):
        (piece,) = reader.feed(b"x" * 65_536)
        assert isinstance(piece, Data)
        assert not piece.last
        total += len(piece.data)
    (last,) = reader.feed(b"x" * (0xFFFFFF - total))
    assert isinstance(last, Data)
    assert last.last


def test_more_than_one_frame_holds_is_several() -> None:
    whole = b"y" * (spdy.DATA_BYTES + 10)
    found = Reader().feed(spdy.Writer().say(Data(3, whole, last=True)))
    assert [(len(one.data), one.last) for one in found if isinstance(one, Data)] == [(spdy.DATA_BYTES, False), (10, True)]
