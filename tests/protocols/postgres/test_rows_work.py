"""Rows that were made to be slow: they cost a bounded time, and what was not read is covered whole."""

import struct
import time
import tracemalloc

import pytest

from gatebook.errors import WireError
from gatebook.masking.detectors import NAMES
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.reports import cover_report
from gatebook.protocols.postgres.rows import Column, Cover, RowCover

TEXT, JSON, JSONB, BYTEA, INT8S, TEXTS, NUMRANGE = 25, 114, 3802, 17, 1016, 1009, 3906
LARGE = 5_000_000
SLOW = {
    "cards": (TEXT, b"4242 4242 4242 4241 "),
    "addresses": (TEXT, b"\xff\xfe@ab.cd "),
    "secrets": (TEXT, b"token:aaaaaaaaaaaaaaa1 "),
    "phones": (TEXT, b"+12345678901234567890123 "),
    "numbers in JSON": (JSON, b"4242424242424242,"),
    "escapes in JSON": (JSONB, b'"\\u0040",'),
    "hex": (BYTEA, b"\\x3432343234323432 "),
}


def row(*cells: bytes) -> bytes:
    return struct.pack("!H", len(cells)) + b"".join(struct.pack("!i", len(cell)) + cell for cell in cells)


def covered(*cells: tuple[int, bytes], form: int = 0) -> tuple[list[bytes | None], dict[str, int]]:
    cover = RowCover([Column("c", 0, 0, oid, form) for oid, _ in cells], [Cover(None, False)] * len(cells), NAMES, b"k")
    return wire.data_row(cover.cover(row(*(cell for _, cell in cells)))), cover.masked


@pytest.mark.parametrize("name", SLOW)
def test_a_row_that_was_made_to_be_slow_takes_less_than_two_seconds(name):
    oid, piece = SLOW[name]
    before = time.process_time()
    covered((oid, piece * (LARGE // len(piece))))
    assert time.process_time() - before < 2


def test_a_text_that_is_too_much_work_is_covered_whole_and_counted_unread():
    assert covered((TEXT, b"4242 4242 4242 4241 " * 250_000)) == ([b"****"], {"unread": 1})


@pytest.mark.parametrize(("oid", "shown"), [(JSON, b'"****"'), (NUMRANGE, None), (BYTEA, None), (TEXTS, None)])
def test_what_stands_for_an_unread_value_fits_its_type(oid, shown):
    assert covered((oid, b"4242 4242 4242 4241 " * 250_000))[0] == [shown]


def test_a_row_of_many_middling_cells_costs_no_more_than_one_large_one():
    cells = [(TEXT, b"4242 4242 4242 4241 " * 10_000)] * 300
    before = time.process_time()
    shown, masked = covered(*cells)
    assert time.process_time() - before < 3
    assert masked["unread"] >= 280
    assert set(shown) <= {b"****", cells[0][1]}


def test_a_large_value_beside_a_small_finding_passes():
    prose = b"the quick brown fox " * 400_000
    assert covered((TEXT, prose), (TEXT, b"a@example.com")) == ([prose, b"a***@example.com"], {"email": 1})


def test_small_values_beside_one_that_is_too_large_are_still_read():
    cells, masked = covered((TEXT, b"x" * 20_000_000), (TEXT, b"a@example.com"), (TEXT, b"plain"))
    assert cells == [b"****", b"a***@example.com", b"plain"]
    assert masked == {"unread": 1, "email": 1}


def test_a_value_in_a_row_that_is_too_large_to_ask_is_found_behind_its_escapes():
    cells, _ = covered((TEXT, b"x" * 20_000_000), (JSON, b'"4111111111111111 a\\u0040example.com"'))
    assert cells[1] == b'"************1111 a***@example.com"'


def test_a_row_of_types_that_hold_no_findings_may_be_as_large_as_it_likes():
    bits = b"0110" * 5_000_000
    assert covered((1560, bits)) == ([bits], {})


def test_a_binary_array_of_very_many_numbers_is_not_taken_apart():
    head = struct.pack("!iiiii", 1, 0, 20, 500_000, 1)
    array = head + struct.pack("!iq", 8, 7) * 500_000
    assert covered((INT8S, array), form=1) == ([None], {"unread": 1})


def test_the_next_row_has_its_own_work():
    cover = RowCover([Column("c", 0, 0, TEXT, 0)], [Cover(None, False)], NAMES, b"k")
    for _ in range(3):
        cover.cover(row(b"4242 4242 4242 4241 " * 250_000))
        assert cover.cover(row(b"a@example.com")) == row(b"a***@example.com")
    assert cover.masked == {"unread": 3, "email": 3}


def test_an_error_that_quotes_too_much_says_that_it_was_not_read():
    quoted = b"invalid input: " + b"4242 4242 4242 4241 " * 250_000
    before = time.process_time()
    report = cover_report(b"SERROR\0C22P02\0M" + quoted + b"\0\0", generic=False, detectors=NAMES)
    assert time.process_time() - before < 2
    assert report == b"SERROR\0C22P02\0M<unread>\0\0"


def test_a_row_past_the_limit_is_refused_by_its_length_in_words():
    frames = wire.Frames(wire.SERVER_BYTES)
    frames.add(struct.pack("!cI", b"D", 100_000_000))
    with pytest.raises(WireError, match="a row of 100000000 bytes: the gateway takes 67108864; select fewer columns"):
        list(frames.messages())


def test_a_large_message_that_comes_in_pieces_is_copied_once():
    frames, piece = wire.Frames(wire.SERVER_BYTES), bytes(16_384)
    frames.add(struct.pack("!cI", b"D", 4 + 2048 * len(piece)))
    before = time.process_time()
    for _ in range(2047):
        frames.add(piece)
        assert list(frames.messages()) == []
    assert time.process_time() - before < 1
    frames.add(piece)
    assert [len(body) for _, body in frames.messages()] == [2048 * len(piece)]


def test_a_message_that_comes_byte_by_byte_costs_little_more_than_its_bytes():
    frames = wire.Frames(wire.SERVER_BYTES)
    frames.add(struct.pack("!cI", b"D", 4 + 200_000))
    tracemalloc.start()
    try:
        for number in range(199_999):
            frames.add(b"%c" % (number % 256))
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    assert frames.message() is None
    frames.add(b"z" + struct.pack("!cI", b"Z", 5) + b"I")
    assert [(kind, len(body), body[-1:]) for kind, body in frames.messages()] == [(b"D", 200_000, b"z"), (b"Z", 1, b"I")]
    assert len(frames) == 0
