import zlib
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocols.http.covering.stage import DETECTORS, fed, shown

from gatebook.errors import WireError
from gatebook.protocols.http.covering.codings import PIECE, Coded, acceptable, codings_of, decoded
from gatebook.protocols.http.covering.text import TextCover

TEXT = b"".join(b"line %d of bob@example.com\n" % number for number in range(3_000))
COVERED = TEXT.replace(b"bob@", b"b***@")
CODERS = {
    "gzip": lambda data: zlib.compress(data, wbits=31),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstandard.compress,
}
STACKS = [*((name,) for name in CODERS), ("gzip", "br"), ("zstd", "gzip"), ("br", "br")]


def coded(data: bytes, names: tuple[str, ...]) -> bytes:
    for name in names:
        data = CODERS[name](data)
    return data


@pytest.mark.parametrize("names", STACKS)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 8_000), max_size=6))
def test_content_comes_out_in_the_codings_it_came_in(names, cuts):
    out = fed(Coded(names, TextCover(DETECTORS)), coded(TEXT, names), cuts)
    assert decoded(out, names, 10_000_000) == COVERED


@pytest.mark.parametrize("names", STACKS)
def test_what_is_complete_can_be_read_by_the_client_at_once(names):
    coverer = Coded(names, TextCover(DETECTORS))
    data = coded(TEXT, names)
    out = coverer.feed(data)
    assert decoded(out, names, 10_000_000) == COVERED


@pytest.mark.parametrize("names", STACKS)
def test_content_that_is_cut_off_or_damaged_raises_wire_error(names):
    data = coded(TEXT, names)
    for size in (1, 2, 3, len(data) // 2, len(data) - 1):
        with pytest.raises(WireError):
            fed(Coded(names, TextCover(DETECTORS)), data[:size])
    for tail in (b"x", b"bob@example.com" * 10):
        with pytest.raises(WireError):
            fed(Coded(names, TextCover(DETECTORS)), data + tail)
    with pytest.raises(WireError):
        fed(Coded(names, TextCover(DETECTORS)), TEXT)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STACKS), st.integers(0, 2_000), st.binary(min_size=1, max_size=4))
def test_any_damage_raises_wire_error_and_nothing_else(names, at, damage):
    data = coded(b"bob@example.com " * 50, names)
    at %= len(data)
    with suppress(WireError):
        fed(Coded(names, TextCover(DETECTORS)), data[:at] + damage + data[at + len(damage) :])


@pytest.mark.parametrize("name", CODERS)
def test_a_bomb_is_stopped(name):
    data = coded(b"\n" * 200_000_000, (name,) if name in ("br", "zstd") else (name, name))
    names = (name,) if name in ("br", "zstd") else (name, name)

    class Sink:
        masked: dict[str, int] = {}  # noqa: RUF012
        largest = 0

        def feed(self, data: bytes) -> bytes:
            self.largest = max(self.largest, len(data))
            return b""

        def finish(self) -> bytes:
            return b""

    sink = Sink()
    with pytest.raises(WireError, match="become more than"):
        fed(Coded(names, sink), data)
    assert sink.largest <= 2 * PIECE


def test_several_gzips_and_frames_after_each_other_are_one_content():
    half = len(TEXT) // 2
    for name in ("gzip", "zstd"):
        data = coded(TEXT[:half], (name,)) + coded(TEXT[half:], (name,))
        assert decoded(fed(Coded((name,), TextCover(DETECTORS)), data, [5]), (name,), 10**7) == COVERED


def test_deflate_without_its_frame_is_read_too():
    made = zlib.compressobj(wbits=-15)
    data = made.compress(TEXT) + made.flush()
    assert zlib.decompress(fed(Coded(("deflate",), TextCover(DETECTORS)), data)) == COVERED


def test_no_content_at_all_stays_none():
    assert fed(Coded(("gzip",), TextCover(DETECTORS)), b"") == b""


def test_a_coded_answer_is_covered_by_its_type():
    out = shown("application/json", DETECTORS, coded(b'{"a":"bob@example.com"}', ("gzip",)), content_encoding="GZIP")
    assert zlib.decompress(out, 31) == b'{"a":"b***@example.com"}'


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        ("gzip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("identity", ()),
        ("", ()),
        ("gzip, BR", ("gzip", "br")),
        ("compress", None),
        ("gzip, gzip, gzip", None),
        ("aes128gcm", None),
        ("dcb", None),
    ],
)
def test_codings_are_read_from_the_header(value, codings):
    assert codings_of(iter([value.encode()])) == codings


def test_the_target_is_asked_only_for_codings_that_can_be_read():
    assert acceptable(b"gzip, deflate, br;q=0.5, zstd, dcb, compress, *;q=0.1") == b"gzip, deflate, br;q=0.5, zstd"
    assert acceptable(b"*") == b"identity"
    assert acceptable(None) == b"identity"
