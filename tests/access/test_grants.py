"""Grants: what a yes gives, never more than was asked for, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.access.party import AGENT, DANA, ERIK, OLGA, SECOND, Party, known_as, party
from tests.make import MINUTE, NOW

from gatebook.access.approvals import State
from gatebook.access.grants import SHORTEST_SECONDS, Live, Terms, Wish
from gatebook.db import writing
from gatebook.errors import AccessError, LedgerError
from gatebook.model import Identity, Reach

HOUR = 3_600
WISH = Wish(targets=("shop",), reach=Reach.WRITE, seconds=HOUR, why="restore orders", purpose="OPS-7")
TERMS = Terms(approvers=frozenset({"group:dba"}), furthest=Reach.WRITE, longest_seconds=2 * HOUR, answer_seconds=600)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Party]:
    with party(tmp_path, TERMS) as made:
        yield made


def ask(place: Party, number: int = 1, who: Identity = AGENT, now: int = NOW, **changes: Any) -> str:
    wish = replace(WISH, **changes)
    return place.grants.request(who, wish, id=f"01999999-0000-7000-8000-{number:012}", now=now).id


def give(place: Party, number: int = 1, who: Identity = AGENT, now: int = NOW, **changes: Any) -> str:
    asked = ask(place, number, who, now, **changes)
    assert place.approvals.vote(asked, DANA, True, "", now) is State.APPROVED
    return asked


def live(place: Party, now: int = NOW, target: str = "shop", who: Identity = AGENT) -> Reach | None:
    return place.grants.live(who.issuer, who.subject, target, now)


def test_a_grant_begins_with_the_last_yes_and_ends_by_itself(place: Party) -> None:
    asked = ask(place)
    assert live(place) is None
    place.approvals.vote(asked, DANA, True, "", NOW + MINUTE)
    end = NOW + MINUTE + HOUR * SECOND
    assert [live(place, now) for now in (NOW + MINUTE, end - 1, end)] == [Reach.WRITE, Reach.WRITE, None]
    (grant,) = place.grants.list()
    assert (grant.not_before, grant.expires_at, grant.given_by) == (NOW + MINUTE, end, "dana")
    place.now = end
    assert place.grants.list()[0].ended_at == end
    kinds = [kind for kind, _ in place.pages.told()]
    story = ["approval.request", "approval.vote", "approval.result", "grant.create", "grant.expire"]
    assert kinds == story


def test_a_grant_holds_for_its_holder_and_its_targets_alone(place: Party) -> None:
    give(place, targets=("shop", "vault"))
    assert (live(place), live(place, target="vault"), live(place, target="other")) == (Reach.WRITE, Reach.WRITE, None)
    assert live(place, who=replace(AGENT, subject="other-agent")) is None
    assert live(place, who=replace(AGENT, issuer="https://other.example")) is None


def test_of_several_grants_the_furthest_reach_counts_and_the_first_end_is_told(place: Party) -> None:
    give(place, reach=Reach.READ, seconds=2 * HOUR)
    give(place, 2)
    end = NOW + HOUR * SECOND
    assert place.grants.held(AGENT.issuer, AGENT.subject, "shop", NOW) == Live(Reach.WRITE, end)
    assert place.grants.all_held(NOW) == {(AGENT.issuer, AGENT.subject, "shop"): Live(Reach.WRITE, end)}
    assert live(place, end) is Reach.READ
    assert place.grants.all_held(NOW + 2 * HOUR * SECOND) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"reach": Reach.ADMIN},
        {"reach": Reach.UNKNOWN},
        {"seconds": 2 * HOUR + 1},
        {"seconds": SHORTEST_SECONDS - 1},
        {"seconds": -HOUR},
        {"targets": ()},
        {"targets": ("",)},
        {"targets": tuple(f"target-{number}" for number in range(21))},
        {"why": " \n"},
        {"why": "x" * 501},
        {"purpose": "x" * 501},
    ],
)
def test_nothing_beyond_the_terms_can_be_asked_for(place: Party, changes: dict[str, Any]) -> None:
    with pytest.raises(AccessError) as caught:
        ask(place, **changes)
    assert caught.value.fault == "wrong"
    assert place.pages.entries == []


def test_where_nobody_decides_nothing_can_be_asked_for(tmp_path: Path) -> None:
    with party(tmp_path, Terms()) as place, pytest.raises(AccessError, match="names nobody"):
        ask(place)


@pytest.mark.parametrize(
    ("column", "value"),
    [("reach", "admin"), ("seconds", 100 * HOUR), ("resources", json.dumps(["shop", "vault"])), ("reason", "other")],
)
def test_a_request_edited_in_the_database_gives_nothing(place: Party, column: str, value: object) -> None:
    asked = ask(place)
    with writing(place.source) as connection:
        connection.execute(text(f"UPDATE approvals SET {column} = :value"), {"value": value})
    with pytest.raises(AccessError, match="was changed after it was made"):
        place.approvals.vote(asked, DANA, True, "", NOW)
    assert live(place) is None
    assert place.approvals.states([asked]) == {asked: State.OPEN}


def test_a_grants_approval_runs_nothing(place: Party) -> None:
    asked = give(place)
    found = place.approvals.find(asked)
    assert found.grant == asked
    assert not place.approvals.use(asked, found.request.digest, NOW)
    assert place.approvals.approved(found.request.digest, AGENT, NOW) is None
    assert not place.approvals.leave(asked, NOW, "gone")
    assert place.approvals.expire(NOW + HOUR * SECOND) == []
    assert place.approvals.find(asked).state is State.APPROVED


@pytest.mark.parametrize("owner", [AGENT, known_as(DANA, owner="shop-agent")], ids=["holder", "linked"])
def test_nobody_gives_a_grant_to_themselves(place: Party, owner: Identity) -> None:
    asked = ask(place, who=owner)
    with pytest.raises(AccessError, match="this is your own"):
        place.approvals.vote(asked, replace(owner, groups=frozenset({"dba", "administrators"})), True, "", NOW)
    assert live(place, who=owner) is None


def test_a_denied_or_overdue_wish_gives_nothing(place: Party) -> None:
    place.approvals.vote(ask(place), DANA, False, "too long", NOW)
    late = ask(place, 2)
    with pytest.raises(AccessError, match="time is over"):
        place.approvals.vote(late, DANA, True, "", NOW + 600 * SECOND)
    assert place.grants.list() == []


def test_a_revocation_holds_at_once_and_once(place: Party) -> None:
    grant = give(place)
    with pytest.raises(AccessError, match="no such grant"):
        place.grants.revoke(grant, OLGA, NOW + 1)
    assert place.grants.revoke(grant, ERIK, NOW + 1, "done early").revoked_by == "erik"
    assert (live(place, NOW), live(place, NOW + 1)) == (None, None)
    with pytest.raises(AccessError, match="has ended already"):
        place.grants.revoke(grant, ERIK, NOW + 2)
    assert place.pages.entries[-1].fields == {"grant": grant, "by": f"c({ERIK.issuer}|erik)", "reason": "done early"}


def test_a_holder_and_their_owner_may_give_it_back(place: Party) -> None:
    owned = known_as(AGENT, owner="olga")
    first, second = give(place, who=owned), give(place, 2, who=owned)
    place.grants.revoke(first, owned, NOW)
    place.grants.revoke(second, OLGA, NOW)
    assert live(place) is None


def test_what_is_over_cannot_be_revoked_nor_prolonged_by_a_clock_set_back(place: Party) -> None:
    grant = give(place)
    end = NOW + HOUR * SECOND
    assert place.grants.expire(end - 1) == []
    assert place.grants.expire(end) == [grant]
    assert place.grants.expire(end) == []
    assert live(place, NOW) is None
    asked = ask(place, 2)
    place.approvals.vote(asked, replace(DANA, expires_at=end + 1), True, "", NOW)
    assert live(place, NOW) is Reach.WRITE
    (newer, _) = place.grants.list()
    assert (newer.not_before, newer.expires_at) == (end, end + HOUR * SECOND)


def test_use_is_written_down_for_each_live_grant(place: Party) -> None:
    grant = give(place)
    assert place.grants.use(AGENT, "shop", "session-1", NOW) == (grant,)
    assert place.pages.entries[-1].fields == {"grant": grant, "session": "session-1", "target": "shop"}
    assert place.grants.use(AGENT, "vault", "session-1", NOW) == ()
    assert place.grants.use(AGENT, "shop", "session-1", NOW + HOUR * SECOND) == ()


def test_a_book_that_cannot_be_written_gives_ends_and_uses_nothing(place: Party) -> None:
    asked, held = ask(place), give(place, 2)
    place.pages.full = True
    for act in (
        lambda: ask(place, 3),
        lambda: place.approvals.vote(asked, DANA, True, "", NOW),
        lambda: place.grants.revoke(held, DANA, NOW),
        lambda: place.grants.use(AGENT, "shop", "session-1", NOW),
        lambda: place.grants.expire(NOW + HOUR * SECOND),
    ):
        with pytest.raises(LedgerError):
            act()
    assert [grant.id for grant in place.grants.list()] == [held]
    assert live(place) is Reach.WRITE


def test_a_beginning_of_an_id_must_be_of_one_grant(place: Party) -> None:
    first = give(place)
    give(place, 2)
    for prefix in ("", "0199", "nowhere"):
        with pytest.raises(AccessError) as caught:
            place.grants.revoke(prefix, DANA, NOW)
        assert caught.value.fault == "unknown"
    assert place.grants.revoke(first, DANA, NOW).id == first
