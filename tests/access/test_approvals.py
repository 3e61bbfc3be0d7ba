"""Approvals: who may say yes, to what, for how long, and how often it can be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.access.party import AGENT, DANA, ERIK, OLGA, SECOND, Party, known_as, party, request
from tests.make import MINUTE, NOW, identity

from gatebook.access.approvals import ASKED_ANEW, JUST_NOW_MICROSECONDS, KEPT_MICROSECONDS, PENDING_MAX, State
from gatebook.access.previews import Preview
from gatebook.access.requests import GRANT, SCRIPT, Part, Script
from gatebook.db import writing
from gatebook.errors import AccessError, LedgerError
from gatebook.identity.store import record_seen
from gatebook.model import Identity, Kind, Reach, Ruling

ONE = request().id
DIGEST = request().digest


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Party]:
    with party(tmp_path) as made:
        yield made


def refused(place: Party, voter: Identity, fault: str, *, approval: str = ONE, now: int = NOW) -> str:
    with pytest.raises(AccessError) as caught:
        place.approvals.vote(approval, voter, True, "looks right", now)
    assert caught.value.fault == fault
    return str(caught.value)


def test_a_yes_is_used_once_and_the_book_tells_the_story(place: Party) -> None:
    place.ask()
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}
    assert place.approvals.vote(ONE, DANA, True, "looks right", NOW) is State.APPROVED
    assert [place.approvals.use(ONE, DIGEST, NOW) for _ in range(3)] == [True, False, False]
    assert place.approvals.states([ONE]) == {ONE: State.USED}
    story = ["approval.request", "approval.vote", "approval.result", "approval.result"]
    assert place.pages.told() == list(zip(story, ["", "approve", "approved", "used"], strict=True))


def test_one_no_ends_it_with_its_reason(place: Party) -> None:
    place.ask(quorum=2)
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert place.approvals.vote(ONE, ERIK, False, "not on a Friday", NOW) is State.DENIED
    found = place.approvals.find(ONE)
    assert (found.why, [vote.approved for vote in found.votes]) == ("not on a Friday", [True, False])
    assert not place.approvals.use(ONE, DIGEST, NOW)


def test_a_no_needs_a_reason(place: Party) -> None:
    place.ask()
    with pytest.raises(AccessError, match="needs a reason"):
        place.approvals.vote(ONE, DANA, False, "  ", NOW)
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}


def test_a_quorum_takes_different_people(place: Party) -> None:
    place.ask(quorum=2)
    assert place.approvals.vote(ONE, DANA, True, "", NOW) is State.OPEN
    assert "voted on this already" in refused(place, DANA, "closed")
    same = known_as(replace(DANA, subject="d.diaz", issuer="https://other.example"), email="DANA")
    assert "voted on this already" in refused(place, same, "closed")
    assert not place.approvals.use(ONE, DIGEST, NOW)
    assert place.approvals.vote(ONE, ERIK, True, "", NOW) is State.APPROVED


ADMINISTRATOR = identity(kind=Kind.PERSON, groups=frozenset({"dba", "administrators"}))


@pytest.mark.parametrize(
    ("requester", "voter"),
    [
        (AGENT, ADMINISTRATOR),
        (AGENT, replace(ADMINISTRATOR, issuer="https://other.example")),
        (AGENT, replace(ADMINISTRATOR, subject="SHOP-Agent")),
        (replace(AGENT, on_behalf_of="dana"), DANA),
        (known_as(AGENT, owner="dana"), DANA),
        (known_as(AGENT, owner="Dana@shop.example"), known_as(DANA, email="dana@shop.example")),
        (known_as(AGENT, owner="dana"), known_as(ERIK, owner="dana")),
        (AGENT, known_as(DANA, owner="shop-agent")),
        (AGENT, AGENT),
    ],
)
def test_nobody_in_the_requesters_chain_votes_whatever_groups_they_are_in(
    place: Party, requester: Identity, voter: Identity
) -> None:
    place.ask(requester=requester)
    assert "this is your own" in refused(place, voter, "forbidden")
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}
    place.approvals.vote(ONE, ERIK if voter.subject != "erik" else OLGA_AS_DBA, True, "", NOW)


OLGA_AS_DBA = replace(OLGA, groups=frozenset({"dba"}))


def test_a_try_to_approve_ones_own_is_written_down_once(place: Party) -> None:
    place.ask()
    for _ in range(3):
        refused(place, AGENT, "forbidden")
    assert place.pages.told() == [("approval.request", ""), ("approval.vote", "refused")]
    assert place.pages.entries[1].fields["self"] is True
    assert place.approvals.find(ONE).votes == ()


@pytest.mark.parametrize(
    "voter",
    [
        replace(DANA, kind=Kind.AGENT),
        replace(DANA, kind=Kind.CI),
        replace(DANA, on_behalf_of="boss"),
        known_as(DANA, flow="device_code"),
        replace(DANA, expires_at=NOW),
        OLGA,
    ],
    ids=["agent", "ci", "delegated", "device code", "expired", "another group"],
)
def test_only_people_with_a_standing_proof_in_the_right_group_vote(place: Party, voter: Identity) -> None:
    place.ask()
    refused(place, voter, "forbidden")
    assert not place.approvals.may_vote(place.approvals.find(ONE), replace(voter, expires_at=1)) or voter.expires_at == NOW
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}


def test_the_groups_of_the_token_count_not_those_of_an_earlier_one(place: Party) -> None:
    place.ask()
    place.approvals.check_vote(ONE, DANA, NOW)
    refused(place, replace(DANA, groups=frozenset({"staff"})), "forbidden")


def seen(place: Party, who: Identity, at: int) -> None:
    with writing(place.source) as connection:
        record_seen(connection, who, at)


def test_a_token_from_before_the_approver_left_the_group_counts_no_more(place: Party) -> None:
    place.ask()
    seen(place, replace(DANA, groups=frozenset()), NOW - 1)
    refused(place, DANA, "forbidden")


def test_a_yes_of_somebody_who_left_the_group_meanwhile_is_void(place: Party) -> None:
    place.ask()
    place.approvals.vote(ONE, DANA, True, "", NOW)
    seen(place, replace(DANA, groups=frozenset({"staff"})), NOW + SECOND)
    assert not place.approvals.use(ONE, DIGEST, NOW + 2 * SECOND)
    found = place.approvals.find(ONE)
    assert (found.state, found.why) == (State.VOID, "an approver is no longer in the group they voted by")


def test_a_yes_of_somebody_who_came_back_still_in_the_group_holds(place: Party) -> None:
    place.ask()
    place.approvals.vote(ONE, DANA, True, "", NOW)
    seen(place, DANA, NOW + SECOND)
    assert place.approvals.use(ONE, DIGEST, NOW + 2 * SECOND)


def test_a_named_approver_is_one_of_the_requesters_own_issuer(place: Party) -> None:
    place.ask(approvers=frozenset({"subject:olga"}))
    refused(place, replace(OLGA, issuer="https://other.example"), "forbidden")
    assert place.approvals.vote(ONE, OLGA, True, "", NOW) is State.APPROVED


def test_what_is_not_there_cannot_be_voted_on_used_or_voided(place: Party) -> None:
    for approval in ("", "01999999", "' OR 1=1 --", "\x00"):
        refused(place, DANA, "unknown", approval=approval)
        assert not place.approvals.use(approval, DIGEST, NOW)
        assert not place.approvals.leave(approval, NOW, "gone")
    assert place.approvals.states(["nowhere"]) == {"nowhere": State.VOID}


def test_a_beginning_of_an_id_finds_a_request_and_decides_nothing(place: Party) -> None:
    place.ask()
    assert place.approvals.find(ONE[:18]).request.id == ONE
    refused(place, DANA, "unknown", approval=ONE[:18])
    place.ask(2)
    with pytest.raises(AccessError, match="several"):
        place.approvals.find(ONE[:18])


def test_what_changed_after_the_approver_looked_is_not_approved(place: Party) -> None:
    place.ask()
    with pytest.raises(AccessError, match="not the one you looked at"):
        place.approvals.vote(ONE, DANA, True, "", NOW, digest="sha256:two")
    assert place.approvals.vote(ONE, DANA, True, "", NOW, digest=DIGEST) is State.APPROVED


def test_a_yes_does_not_fit_anything_else(place: Party) -> None:
    place.ask()
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert not place.approvals.use(ONE, "sha256:two", NOW)
    assert place.approvals.approved("sha256:two", AGENT, NOW) is None
    assert place.approvals.use(ONE, DIGEST, NOW)


def test_what_is_sent_again_finds_its_approval_until_it_is_used_or_over(place: Party) -> None:
    place.ask()
    assert place.approvals.approved(DIGEST, AGENT, NOW) is None
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert place.approvals.approved(DIGEST, AGENT, NOW) == ONE
    assert place.approvals.approved(DIGEST, replace(AGENT, subject="other-agent"), NOW) is None
    assert place.approvals.approved(DIGEST, replace(AGENT, issuer="https://other.example"), NOW) is None
    assert place.approvals.approved(DIGEST, AGENT, NOW + 5 * MINUTE) is None
    place.approvals.use(ONE, DIGEST, NOW)
    assert place.approvals.approved(DIGEST, AGENT, NOW) is None


@pytest.mark.parametrize("end", ["used", "denied", "void", "expired", "approved"])
def test_what_is_decided_is_not_decided_again(place: Party, end: str) -> None:
    place.ask()
    if end in ("used", "approved"):
        place.approvals.vote(ONE, DANA, True, "", NOW)
    if end == "used":
        place.approvals.use(ONE, DIGEST, NOW)
    if end == "denied":
        place.approvals.vote(ONE, DANA, False, "no", NOW)
    if end == "void":
        assert place.approvals.leave(ONE, NOW, "the client is gone")
    if end == "expired":
        place.approvals.expire(NOW + 5 * MINUTE)
    assert refused(place, ERIK, "closed") == f"it is {end} already"
    assert place.approvals.leave(ONE, NOW, "again") is (end == "approved")
    assert not place.approvals.use(ONE, DIGEST, NOW)


def test_time_ends_what_nobody_answered_and_what_nobody_used(place: Party) -> None:
    place.ask()
    place.ask(2)
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert "time is over" in refused(place, DANA, "closed", approval=request(2).id, now=NOW + 5 * MINUTE)
    assert not place.approvals.use(ONE, DIGEST, NOW + 5 * MINUTE)
    place.now = NOW + 5 * MINUTE
    assert set(place.approvals.states([ONE, request(2).id]).values()) == {State.EXPIRED}
    assert place.pages.told()[-2:] == [("approval.expire", "")] * 2


def test_a_clock_set_back_prolongs_nothing(place: Party) -> None:
    place.ask()
    place.approvals.vote(ONE, DANA, True, "", NOW)
    place.ask(2, opened_at=NOW + 5 * MINUTE, expires_at=NOW + 10 * MINUTE)
    assert place.approvals.approved(DIGEST, AGENT, NOW - 60 * MINUTE) is None
    assert not place.approvals.use(ONE, DIGEST, NOW - 60 * MINUTE)
    place.now = NOW - 60 * MINUTE
    assert place.approvals.states([ONE]) == {ONE: State.EXPIRED}
    late = place.ask(3, opened_at=NOW, expires_at=NOW + 5 * MINUTE)
    found = place.approvals.find(late.id).request
    assert (found.opened_at, found.expires_at) == (NOW + 5 * MINUTE, NOW + 10 * MINUTE)


def test_an_identity_has_only_so_many_requests_waiting(place: Party) -> None:
    for number in range(PENDING_MAX):
        place.ask(number + 1)
    with pytest.raises(AccessError, match="wait already") as caught:
        place.ask(100)
    assert caught.value.fault == "limit"
    place.ask(101, requester=replace(AGENT, subject="other-agent"))
    place.approvals.leave(ONE, NOW, "gone")
    place.ask(102)
    assert len(place.pages.entries) == PENDING_MAX + 3


def test_nothing_happens_that_the_book_does_not_take(place: Party) -> None:
    place.ask()
    place.ask(2, digest="sha256:two")
    place.approvals.vote(request(2).id, DANA, True, "", NOW)
    place.pages.full = True
    for act in (
        lambda: place.ask(3),
        lambda: place.approvals.vote(ONE, DANA, True, "", NOW),
        lambda: place.approvals.use(request(2).id, "sha256:two", NOW),
        lambda: place.approvals.leave(ONE, NOW, "gone"),
        lambda: place.approvals.expire(NOW + 60 * MINUTE),
    ):
        with pytest.raises(LedgerError):
            act()
    place.pages.full = False
    assert [one.state for one in place.approvals.list()] == [State.APPROVED, State.OPEN]
    assert place.approvals.find(ONE).votes == ()


def test_without_its_database_every_answer_is_no(place: Party) -> None:
    place.ask()
    with writing(place.source) as connection:
        connection.exec_driver_sql("ALTER TABLE approvals RENAME TO elsewhere")
    for act in (
        lambda: place.ask(2),
        lambda: place.approvals.vote(ONE, DANA, True, "", NOW),
        lambda: place.approvals.check_vote(ONE, DANA, NOW),
        lambda: place.approvals.use(ONE, DIGEST, NOW),
        lambda: place.approvals.approved(DIGEST, AGENT, NOW),
        lambda: place.approvals.states([ONE]),
        place.approvals.list,
        lambda: place.grants.live(AGENT.issuer, AGENT.subject, "shop", NOW),
        lambda: place.grants.all_held(NOW),
    ):
        with pytest.raises(AccessError) as caught:
            act()
        assert caught.value.fault == "away"
        assert "the answer is no" in str(caught.value)


def test_a_request_comes_back_as_it_was_made(place: Party) -> None:
    asked = place.ask(requester=known_as(AGENT, model="opus", owner="olga"))
    found = place.approvals.find(ONE)
    assert found.request == asked
    assert place.approvals.may_see(found, OLGA)
    assert not place.approvals.may_vote(found, OLGA)
    assert not place.approvals.may_see(found, replace(OLGA, subject="sven"))
    assert place.approvals.may_vote(found, DANA)


def test_rows_of_what_ended_long_ago_are_dropped_and_what_is_alive_stays(place: Party) -> None:
    place.ask()
    place.approvals.vote(ONE, DANA, False, "no", NOW)
    place.ask(2, expires_at=NOW + 10 * KEPT_MICROSECONDS)
    place.ask(3, opened_at=NOW + KEPT_MICROSECONDS, expires_at=NOW + KEPT_MICROSECONDS + 1)
    assert len(place.approvals.list()) == 3
    place.ask(4, opened_at=NOW + KEPT_MICROSECONDS + 2, expires_at=NOW + KEPT_MICROSECONDS + 3)
    assert [one.request.id[-1] for one in place.approvals.list()] == ["4", "3", "2"]


def test_a_text_that_is_not_unicode_is_written_out(place: Party) -> None:
    place.ask(text="SELECT '\udcff'")
    assert place.approvals.find(ONE).request.text == "SELECT '\\udcff'"


@pytest.mark.parametrize("column", ["requester", "resources", "approvers", "reach", "state"])
def test_a_row_that_cannot_be_read_is_a_no(place: Party, column: str) -> None:
    place.ask()
    with writing(place.source) as connection:
        connection.exec_driver_sql(f"UPDATE approvals SET {column} = '[1'")
    for act in (
        lambda: place.approvals.vote(ONE, DANA, True, "", NOW),
        lambda: place.approvals.use(ONE, DIGEST, NOW),
        lambda: place.approvals.find(ONE),
    ):
        with pytest.raises(AccessError) as caught:
            act()
        assert caught.value.fault == "away"


def test_the_newest_requests_come_first_by_state_and_kind(place: Party) -> None:
    place.ask()
    place.ask(2, opened_at=NOW + 1)
    place.ask(3, opened_at=NOW + 2, kind="script")
    place.approvals.leave(ONE, NOW + 3, "gone")
    assert [one.request.id[-1] for one in place.approvals.list()] == ["3", "2", "1"]
    assert [one.request.id[-1] for one in place.approvals.list(State.OPEN)] == ["3", "2"]
    assert [one.request.id[-1] for one in place.approvals.list(kind="script", limit=5)] == ["3"]


def test_a_script_that_waits_or_has_its_yes_is_not_asked_about_twice(place: Party) -> None:
    first = place.ask(1, kind=SCRIPT)
    assert place.ask(2, kind=SCRIPT, digest=DIGEST).id == first.id
    place.approvals.vote(first.id, DANA, True, "", place.now)
    assert place.ask(3, kind=SCRIPT, digest=DIGEST).id == first.id
    assert place.approvals.use(first.id, first.digest, place.now)
    assert place.ask(4, kind=SCRIPT, digest=DIGEST).id != first.id


def test_a_script_is_asked_about_anew_by_another_once_denied_or_once_over(place: Party) -> None:
    first = place.ask(1, kind=SCRIPT)
    assert place.ask(2, kind=SCRIPT, digest=DIGEST, requester=replace(AGENT, subject="other")).id != first.id
    assert place.ask(3, kind=SCRIPT, digest="sha256:two").id != first.id
    place.approvals.vote(first.id, DANA, False, "no", place.now)
    second = place.ask(5, kind=SCRIPT, digest=DIGEST)
    assert second.id != first.id
    place.now = second.expires_at
    assert place.ask(6, kind=SCRIPT, digest=DIGEST, opened_at=place.now, expires_at=place.now + MINUTE).id != second.id


def test_what_is_sent_again_while_it_waits_is_not_asked_about_twice(place: Party) -> None:
    first, again = request(1, resent=True), request(2, resent=True, digest=DIGEST)
    assert [place.approvals.open(one).id for one in (first, again)] == [ONE, ONE]
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert place.approvals.open(again).id == ONE
    assert [place.approvals.use(ONE, DIGEST, NOW) for _ in range(2)] == [True, False]
    assert place.approvals.open(again).id == again.id
    for number, other in enumerate((replace(AGENT, subject="agent-8"), replace(AGENT, issuer="https://else.example")), 4):
        made = request(number, resent=True, digest=DIGEST, requester=other)
        assert place.approvals.open(made).id == made.id


def test_what_would_do_something_else_by_now_is_asked_about_anew(place: Party) -> None:
    seen = [Preview(held_to={"digest": word}, at=NOW + number) for number, word in enumerate(("one", "one", "two"))]
    ids = [place.ask(number, digest=DIGEST, resent=True, preview=one).id for number, one in enumerate(seen, 1)]
    assert ids == [ONE, ONE, request(3).id]
    first = place.approvals.find(ONE)
    assert (first.state, first.why) == (State.VOID, ASKED_ANEW)
    assert not place.approvals.use(ONE, DIGEST, NOW)


def test_who_waits_for_the_same_waits_for_one_answer_and_the_last_who_leaves_ends_it(place: Party) -> None:
    assert [place.ask(number, digest=DIGEST).id for number in (1, 2)] == [ONE, ONE]
    assert not place.approvals.leave(ONE, NOW, "gone")
    assert place.ask(3, digest=DIGEST).id == ONE
    place.approvals.vote(ONE, DANA, True, "", NOW)
    assert not place.approvals.leave(ONE, NOW, "gone"), "the yes is there for the other"
    assert place.approvals.leave(ONE, NOW, "gone")
    assert place.approvals.find(ONE).state is State.VOID
    assert place.ask(4, digest=DIGEST).id != ONE
    grants = [place.ask(number, digest=DIGEST, kind=GRANT, seconds=60).id for number in (5, 6)]
    assert len(set(grants)) == 2


def test_who_waits_has_part_in_what_others_send_again_and_not_the_reverse(place: Party) -> None:
    first = place.ask(1, resent=True)
    assert place.ask(2, digest=DIGEST).id == first.id
    assert not place.approvals.leave(first.id, NOW, "gone"), "it is sent again later"
    waits = place.ask(3)
    assert place.ask(4, digest=waits.digest, resent=True).id != waits.id, "that one ends early"


def test_who_waits_for_something_else_by_now_ends_nobodys_request(place: Party) -> None:
    seen = [Preview(held_to={"digest": word}, at=NOW) for word in ("one", "two", "one", "two")]
    ids = [place.ask(number, digest=DIGEST, preview=one).id for number, one in enumerate(seen, 1)]
    assert ids == [ONE, request(2).id] * 2
    assert {place.approvals.find(one).state for one in ids} == {State.OPEN}


def test_a_no_is_the_answer_to_the_same_for_a_while(place: Party) -> None:
    place.ask()
    assert place.approvals.refused(DIGEST, AGENT, NOW) is None
    place.approvals.vote(ONE, DANA, False, "not on a Friday", NOW)
    found = place.approvals.refused(DIGEST, AGENT, NOW + SECOND)
    assert found is not None
    assert found.why == "not on a Friday"
    assert place.approvals.refused("sha256:other", AGENT, NOW + SECOND) is None
    assert place.approvals.refused(DIGEST, replace(AGENT, subject="agent-8"), NOW + SECOND) is None
    assert place.approvals.refused(DIGEST, AGENT, NOW + JUST_NOW_MICROSECONDS) is None


def test_whoever_waited_beside_the_one_that_ran_hears_so_for_a_while(place: Party) -> None:
    for number, alone in ((1, True), (2, False)):
        first = place.ask(number)
        if not alone:
            place.ask(9, digest=first.digest)
        place.approvals.vote(first.id, DANA, True, "", NOW)
        assert place.approvals.use(first.id, first.digest, NOW)
        found = place.approvals.refused(first.digest, AGENT, NOW + SECOND)
        assert (found is None) is alone
        assert place.approvals.refused(first.digest, AGENT, NOW + JUST_NOW_MICROSECONDS) is None


def test_what_nobody_answered_is_no_answer_to_the_same_for_a_while(place: Party) -> None:
    place.ask()
    over = request().expires_at
    assert place.approvals.refused(DIGEST, AGENT, over - 1) is None
    assert place.approvals.refused(DIGEST, AGENT, over + SECOND) is not None
    assert place.approvals.refused(DIGEST, AGENT, over + JUST_NOW_MICROSECONDS) is None


def test_a_script_comes_back_statement_by_statement(place: Party) -> None:
    said: dict[str, Any] = {"reach": Reach.ADMIN, "resources": ("public.notes",), "rule": "ddl", "reason": "careful"}
    parts = (
        Part(line=1, verb="sql.alter", ruling=Ruling.APPROVE, **said),
        Part(line=9, verb="sql.drop", ruling=Ruling.ALLOW, **said),
    )
    script = Script(sha256="ab" * 32, size=12, parts=parts)
    asked = place.ask(1, kind=SCRIPT, script=script, masks=frozenset({"pii", "secrets"}))
    found = place.approvals.find(asked.id).request
    assert (found.script, found.masks) == (script, {"pii", "secrets"})
    (entry,) = [one for one in place.pages.entries if one.kind == "approval.request"]
    assert (entry.fields["statements"], entry.fields["bytes"]) == (2, 12)
