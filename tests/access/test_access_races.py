"""Races on one database file: of many who come at once, one is first, and the others find what is then true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.access.party import AGENT, DANA, ERIK, Party, party, request
from tests.make import NOW

from gatebook.access import standing, store
from gatebook.access.approvals import PENDING_MAX, State
from gatebook.access.requests import SCRIPT
from gatebook.db import writing
from gatebook.errors import AccessError

ROUNDS = 1_000
PATIENCE = 60.0  # seconds a racer waits for the other before the test fails


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Party]:
    with party(tmp_path) as made:
        yield made


def race(rounds: int, *racers: Callable[[int], object]) -> list[list[object]]:
    """What each racer got in each round; they start every round at once."""
    barrier = threading.Barrier(len(racers))
    got: list[list[object]] = [[None] * len(racers) for _ in range(rounds)]

    def run(place: int, act: Callable[[int], object]) -> None:
        for number in range(rounds):
            barrier.wait(PATIENCE)
            try:
                got[number][place] = act(number)
            except AccessError as error:
                got[number][place] = error.fault

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def fill(place: Party, rounds: int, *, state: State = State.OPEN, quorum: int = 1) -> list[str]:
    """So many requests, made in one transaction, in this state."""
    asked = [request(number + 1, digest=f"sha256:{number}", quorum=quorum) for number in range(rounds)]
    with writing(place.source) as connection:
        for one in asked:
            store.insert_approval(connection, one, standing.chain(AGENT))
            if state is not State.OPEN:
                store.move(connection, one.id, before=(State.OPEN,), after=state, at=NOW)
                said = {"verdict": "approve", "reason": ""}
                store.insert_vote(connection, one.id, DANA, standing.chain(DANA), said, ("group:dba",), NOW)
    return [one.id for one in asked]


def test_of_two_who_use_an_approval_at_once_one_runs(place: Party) -> None:
    ids = fill(place, ROUNDS, state=State.APPROVED)

    def use(number: int) -> bool:
        return place.approvals.use(ids[number], f"sha256:{number}", NOW)

    assert {tuple(sorted(map(str, one))) for one in race(ROUNDS, use, use)} == {("False", "True")}
    assert place.pages.told() == [("approval.result", "used")] * ROUNDS


def test_of_a_yes_and_a_no_at_once_the_first_decides(place: Party) -> None:
    rounds = ROUNDS // 10
    ids = fill(place, rounds)
    got = race(
        rounds,
        lambda number: place.approvals.vote(ids[number], DANA, True, "", NOW),
        lambda number: place.approvals.vote(ids[number], ERIK, False, "no", NOW),
    )
    assert {tuple(one) for one in got} <= {(State.APPROVED, "closed"), ("closed", State.DENIED)}
    states = place.approvals.states(ids)
    assert [states[id] for id in ids] == [State.APPROVED if one[1] == "closed" else State.DENIED for one in got]
    assert len(place.pages.entries) == 2 * rounds


def test_two_votes_at_once_make_a_quorum_of_two_and_one_person_does_not(place: Party) -> None:
    rounds = ROUNDS // 10
    ids = fill(place, rounds, quorum=2)

    def dana(number: int) -> State:
        return place.approvals.vote(ids[number], DANA, True, "", NOW)

    half = rounds // 2
    assert {tuple(sorted(map(str, one))) for one in race(half, dana, dana)} == {("closed", "open")}
    ids = ids[half:]
    got = race(half, dana, lambda number: place.approvals.vote(ids[number], ERIK, True, "", NOW))
    assert {tuple(sorted(map(str, one))) for one in got} == {("approved", "open")}


def test_of_a_use_and_a_void_at_once_one_holds(place: Party) -> None:
    rounds = ROUNDS // 10
    ids = fill(place, rounds, state=State.APPROVED)
    got = race(
        rounds,
        lambda number: place.approvals.use(ids[number], f"sha256:{number}", NOW),
        lambda number: place.approvals.leave(ids[number], NOW, "gone"),
    )
    assert {tuple(one) for one in got} <= {(True, False), (False, True)}


def test_racing_for_the_last_free_place_gives_it_to_one(place: Party) -> None:
    fill(place, PENDING_MAX - 1)
    got = race(1, *(lambda _, number=number: place.ask(number) and "open" for number in (100, 101, 102, 103)))
    assert sorted(map(str, got[0])) == ["limit", "limit", "limit", "open"]


def test_of_many_who_wait_for_the_same_at_once_one_is_asked_about_and_the_last_ends_it(place: Party) -> None:
    rounds = ROUNDS // 10

    def waits(number: int, racer: int) -> str:
        one = replace(AGENT, subject=f"job-{number}")
        return place.ask(3 * number + racer, digest=f"sha256:{number}", requester=one).id

    got = race(rounds, *(lambda number, racer=racer: waits(number, racer) for racer in range(3)))
    assert all(len(set(one)) == 1 for one in got)
    assert [kind for kind, _ in place.pages.told()] == ["approval.request"] * rounds
    ids = [str(one[0]) for one in got]
    left = race(rounds, *(lambda number: place.approvals.leave(ids[number], NOW, "gone") for _ in range(3)))
    assert {tuple(sorted(map(str, one))) for one in left} == {("False", "False", "True")}
    assert set(place.approvals.states(ids).values()) == {State.VOID}


def test_of_two_who_propose_the_same_script_at_once_one_is_asked_about(place: Party) -> None:
    def propose(number: int, half: int) -> str:
        one = replace(AGENT, subject=f"job-{number}")
        return place.ask(2 * number + half, digest=f"sha256:{number}", kind=SCRIPT, requester=one).id

    got = race(ROUNDS, lambda number: propose(number, 0), lambda number: propose(number, 1))
    assert all(first == second for first, second in got)
    assert len([one for one in place.pages.entries if one.kind == "approval.request"]) == ROUNDS
