"""Counts shared by processes: limits hold for their sum, and nothing that a dead process held stays taken."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from gatebook.gateway.crowd import Crowd
from gatebook.gateway.tally import BUCKETS, Tally

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside a runner's threads

HERE, THERE = "192.0.2.1", "192.0.2.2"


def in_another_process(work: Callable[[], None]) -> int:
    """Fork, do it there, and say how the process ended."""
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_sessions_of_another_process_count_too() -> None:
    tally = Tally(2)
    theirs = Crowd(3, each_address=9, tally=tally, row=1)
    assert in_another_process(lambda: [theirs.enter(number) for number in range(2)] and None) == 0
    mine = Crowd(3, each_address=9, tally=tally, row=0)
    assert mine.enter("a") == ""
    assert mine.enter("b").startswith("all 3 sessions")
    assert tally.sessions == 3


def test_connections_from_one_address_count_over_all_processes() -> None:
    tally = Tally(2)
    one, two = (Crowd(9, each_address=2, tally=tally, row=row) for row in range(2))
    assert one.come("a", HERE) == two.come("b", HERE) == ""
    assert one.come("c", HERE).startswith("2 connections from your address")
    assert two.come("d", THERE) == ""
    two.leave("b")
    assert one.come("c", HERE) == ""


def test_the_row_of_a_dead_process_is_wiped_and_no_other() -> None:
    tally = Tally(2)
    one, two = (Crowd(2, each_address=2, tally=tally, row=row) for row in range(2))
    assert one.enter("a") == two.enter("b") == one.come("c", HERE) == two.come("d", HERE) == ""
    tally.ready(0)
    tally.ready(1)
    tally.wipe(1)
    assert (tally.sessions, tally.door, tally.serving) == (1, 1, 1)
    assert tally.from_address(tally.bucket(HERE)) == 1
    assert one.enter("e") == ""


def test_a_process_that_dies_while_it_counts_blocks_nobody() -> None:
    tally = Tally(2)

    def die() -> None:
        with tally.locked():
            os._exit(0)

    assert in_another_process(die) == 0
    with tally.locked():
        tally.session(0, 1)
    assert tally.sessions == 1


def test_processes_that_count_at_once_exceed_no_limit() -> None:
    tally, limit = Tally(5), 50
    crowds = [Crowd(limit, each_address=9, tally=tally, row=row) for row in range(4)]

    def crowd_in(row: int) -> None:
        for number in range(limit):
            crowds[row].enter(number)

    pids = []
    for row in range(4):
        pid = os.fork()
        if not pid:
            crowd_in(row)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert tally.sessions == limit


def test_nobody_outside_can_tell_which_addresses_share_a_bucket() -> None:
    addresses = [f"192.0.2.{number}" for number in range(200)]
    one, two = Tally(1), Tally(1)
    assert [one.bucket(each) for each in addresses] != [two.bucket(each) for each in addresses]
    assert all(0 <= one.bucket(each) < BUCKETS for each in addresses)
