from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatebook.evidence.coverage import MINUTE, Runs, coverage
from gatebook.evidence.entries import Bundle, Period, Record

SECOND = 1_000_000


def runs(*times, boots=(0,)):
    found = Runs()
    for index, time in enumerate(times):
        kind = "log.boot" if index in boots else "log.heartbeat"
        entry = json.dumps({"type": kind, "time": int(time * SECOND)}).encode()
        found.take(Record("o", index, Bundle(lambda _, entry=entry: entry, ""), 0, len(entry)))
    return found


def states(found, start, end):
    return list(found.minutes(Period(int(start * SECOND), int(end * SECOND))))


@pytest.mark.parametrize(
    ("times", "start", "end", "expected"),
    [
        ([0, 50, 100, 150, 180], 0, 180, [(0, 2, "up")]),
        ([30, 60, 120], 0, 120, [(0, 0, "partly"), (1, 1, "up")]),
        ([0, 60, 240, 300], 0, 300, [(0, 0, "up"), (1, 1, "partly"), (2, 3, "gap"), (4, 4, "up")]),
        ([0, 60], 0, 600, [(0, 0, "up"), (1, 1, "partly"), (2, 9, "after the log")]),
        ([600, 660], 0, 660, [(0, 9, "gap"), (10, 10, "up")]),
        ([0], 0, 60, [(0, 0, "partly")]),
        ([0, 60], 6000, 6060, [(100, 100, "after the log")]),
    ],
)
def test_a_minute_is_up_while_entries_follow_each_other(times, start, end, expected):
    assert states(runs(*times), start, end) == expected


def test_a_restart_begins_anew_even_if_it_comes_soon():
    assert states(runs(0, 50, 70, 120, boots=(0, 2)), 0, 120) == [(0, 1, "partly")]


def test_a_period_without_end_is_one_row_and_no_endless_work():
    rows = coverage([runs(0, 60)], Period(0, 10**24)).rows
    assert len(rows) == 3
    assert rows[-1][4] == "after the log"


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.integers(0, 5000), st.integers(1, 5000))
def test_every_minute_of_the_period_is_in_exactly_one_row(times, start, length):
    found = states(runs(*sorted(times)), start, start + length)
    period = Period(start * SECOND, (start + length) * SECOND)
    minutes = [minute for first, last, _ in found for minute in range(first, last + 1)]
    assert minutes == list(range(period.start // MINUTE, -(-period.end // MINUTE)))
    assert all(a[2] != b[2] for a, b in pairwise(found))
