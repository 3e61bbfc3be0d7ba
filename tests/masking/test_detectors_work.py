"""How much is looked at: bytes that were made to be slow cost a bounded time, and what is not looked at is not shown."""

import time

import pytest

from gatebook.masking.detectors import LOG_CHARACTERS, OverworkError, Work, cover_text, scan

NEAR_MISSES = b"4242 4242 4242 4241 "


def test_work_that_is_used_up_leaves_room_for_what_still_fits():
    work = Work(10)
    work.spend(4)
    with pytest.raises(OverworkError):
        work.spend(7)
    work.spend(6)


def test_nothing_is_counted_of_data_that_was_too_much_work():
    counts = {}
    data = b"a@example.com " * 1000
    every = scan()
    with pytest.raises(OverworkError):
        every.cover(data, every.suspects(data), counts, Work(len(data) * 20))
    assert counts == {}


def test_a_choice_of_no_detector_is_no_work():
    assert scan(frozenset()).suspects(b"x" * 100, Work(1)) == ()


def test_a_long_text_for_a_log_shows_its_beginning_and_says_what_is_missing():
    text = "SELECT '" + "a@example.com 4242 4242 4242 4241 " * 100_000
    shown = cover_text(text)
    assert shown.startswith("SELECT 'a***@example.com 4242")
    assert shown.endswith("<unread>")
    assert len(shown) < 2 * LOG_CHARACTERS


def test_a_value_that_is_cut_where_the_reading_ends_is_not_shown():
    filler = "a@example.com " * 40_000
    for start in range(LOG_CHARACTERS - 60, LOG_CHARACTERS + 4, 7):
        text = filler[: start - 1] + " 4111 1111 1111 1111 " + filler
        assert "4111" not in cover_text(text)


def test_an_unsuspicious_long_text_is_shown_whole():
    text = "the quick brown fox " * 100_000
    assert cover_text(text) is text


def test_five_megabytes_of_near_misses_for_a_log_cost_less_than_a_second():
    text = (NEAR_MISSES * 250_000).decode()
    before = time.process_time()
    cover_text(text)
    assert time.process_time() - before < 1
