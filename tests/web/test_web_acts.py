"""Acts on Gatebook over HTTP: who may what, what the book has of it, and that without rule or book nothing is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.access.party import request
from tests.identity.issuer import ISSUER, NOW, SECOND, claims, token
from tests.make import identity
from tests.web.place import Place, open_place

from gatebook.db import writing
from gatebook.gateway import store
from gatebook.model import Session, Target
from gatebook.web.acts import LISTED_A_MINUTE, LOOK_AGAIN

SESSION = "01900000-0000-7000-8000-000000000900"
ONE = request().id
AGENT = identity(subject="agent-7", issuer=ISSUER, on_behalf_of="olga", expires_at=NOW + 600 * SECOND)


def bearer(**changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(claims(**changes))}"}


OWNER = bearer()  # agent-7, whose session and request they are
BEHIND = bearer(sub="olga", kind="person", groups=["staff"])  # whom it acts for
OTHER = bearer(sub="sven", kind="person", groups=["staff"])
OTHER_AGENT = bearer(sub="agent-8", groups=["dba"])
OPERATOR = bearer(sub="dana", kind="person", groups=["dba"])
ASKED = bearer(sub="sam", kind="person", groups=["security"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as made:
        target = Target(name="shop", protocol="postgres", address="127.0.0.1:1")
        session = Session(id=SESSION, identity=AGENT, target=target, client_address="127.0.0.1", opened_at=NOW, purpose="")
        with writing(made.source) as connection:
            store.open_session(connection, session=session, role="app")
        times = {"opened_at": NOW, "expires_at": NOW + 300 * SECOND, "approvers": frozenset({"group:security"})}
        made.approvals.open(request(1, requester=AGENT, **times))
        made.pages.entries.clear()
        yield made


def acts(place: Place) -> list[tuple[Any, ...]]:
    found = [entry.fields for entry in place.pages.entries if entry.kind == "gatebook.act"]
    return [(one["verb"], one["about"], one["ruling"], one["rule"]) for one in found]


def kills(place: Place) -> list[Any]:
    with place.source.connect() as connection:
        return list(store.kills_requested(connection))


@pytest.mark.parametrize(
    ("who", "listed", "session", "approval", "end"),
    [
        (OWNER, True, 200, 200, 202),
        (BEHIND, True, 200, 200, 202),
        (OPERATOR, True, 200, 200, 202),
        (ASKED, False, 404, 200, 404),
        (OTHER, False, 404, 404, 404),
        (OTHER_AGENT, False, 404, 404, 404),
    ],
    ids=["owner", "whom it acts for", "operator", "approver", "other", "another agent in the operators' group"],
)
async def test_everybody_sees_and_ends_what_the_rules_permit_them(
    place: Place, who: dict[str, str], listed: bool, session: int, approval: int, end: int
) -> None:
    async with place.client() as client:
        rows = (await client.get("/api/v1/sessions", headers=who)).json()["sessions"]
        assert [one["id"] for one in rows] == ([SESSION] if listed else [])
        assert (await client.get(f"/api/v1/sessions/{SESSION}", headers=who)).status_code == session
        assert (await client.get(f"/api/v1/approvals/{ONE}", headers=who)).status_code == approval
        ended = await client.post(f"/api/v1/sessions/{SESSION}/end", headers=who, json={"reason": "runs wild"})
        assert ended.status_code == end
    assert len(kills(place)) == (end == 202)


async def test_what_is_not_permitted_sounds_like_what_is_not_there(place: Place) -> None:
    async with place.client() as client:
        for path in (f"/api/v1/sessions/{SESSION}", f"/api/v1/approvals/{ONE}"):
            hidden = await client.get(path, headers=OTHER)
            missing = await client.get(path[:-1] + "9", headers=OTHER)
            assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)


async def test_the_book_has_looks_once_refusals_too_and_every_change(place: Place) -> None:
    async with place.client() as client:
        for _ in range(3):
            await client.get("/api/v1/sessions", headers=OPERATOR)
            await client.get(f"/api/v1/sessions/{SESSION}", headers=OPERATOR)
            await client.get(f"/api/v1/sessions/{SESSION}", headers=OTHER)
        for _ in range(2):
            await client.post(f"/api/v1/sessions/{SESSION}/end", headers=OPERATOR, json={"reason": "runs wild"})
    view, kill = "gatebook.sessions.view", "gatebook.sessions.kill"
    assert acts(place) == [
        (view, "", "allow", "gatebook-operators"),
        (view, SESSION, "allow", "gatebook-operators"),
        (view, SESSION, "block", "no-rule"),
        (kill, SESSION, "allow", "gatebook-operators"),
        (kill, SESSION, "allow", "gatebook-operators"),
    ]
    place.now += LOOK_AGAIN
    later = {"iat": place.now // SECOND, "exp": place.now // SECOND + 300}
    async with place.client() as client:
        again = bearer(sub="dana", kind="person", groups=["dba"], **later)
        await client.get(f"/api/v1/sessions/{SESSION}", headers=again)
    assert acts(place)[-1] == (view, SESSION, "allow", "gatebook-operators")


async def test_people_and_addresses_stand_in_an_act_as_commitments(place: Place) -> None:
    async with place.client("127.0.0.9") as client:
        await client.post(f"/api/v1/sessions/{SESSION}/end", headers=OPERATOR, json={"reason": "ask dana@example.com"})
    written = json.dumps([dict(entry.fields) for entry in place.pages.entries if entry.kind == "gatebook.act"])
    salted = written.replace(f"c({ISSUER}|dana)", "")
    assert "dana" not in salted
    assert "127.0.0.9" not in salted
    assert '"type": "person"' in written


async def test_looking_fills_no_book(place: Place) -> None:
    target = Target(name="shop", protocol="postgres", address="127.0.0.1:1")
    ids = [f"01900000-0000-7000-8000-{number:012x}" for number in range(1_000, 1_000 + LISTED_A_MINUTE + 10)]
    with writing(place.source) as connection:
        for number in ids:
            session = Session(id=number, identity=AGENT, target=target, client_address="", opened_at=NOW, purpose="")
            store.open_session(connection, session=session, role="app")
    async with place.client() as client:
        for number in ids:
            assert (await client.get(f"/api/v1/sessions/{number}", headers=OTHER)).status_code == 404
        assert len(acts(place)) == LISTED_A_MINUTE
        await client.get(f"/api/v1/sessions/{SESSION}", headers=OPERATOR)
    assert place.pages.entries[-1].fields["unlisted"] == 10


async def test_without_a_book_nothing_is_shown_and_nothing_done(place: Place) -> None:
    place.pages.full = True
    async with place.client() as client:
        for path in ("sessions", f"sessions/{SESSION}", "approvals", f"approvals/{ONE}", "grants"):
            answer = await client.get(f"/api/v1/{path}", headers=OPERATOR)
            assert (answer.status_code, "agent-7" in answer.text) == (503, False)
        ended = await client.post(f"/api/v1/sessions/{SESSION}/end", headers=OPERATOR, json={"reason": "x"})
        assert ended.status_code == 503
        place.pages.full = False
        assert (await client.get(f"/api/v1/sessions/{SESSION}", headers=OPERATOR)).status_code == 200
    assert kills(place) == []
    assert ("gatebook.sessions.view", SESSION, "allow", "gatebook-operators") in acts(place)


async def test_without_a_rule_nobody_sees_their_own_or_decides_anything(tmp_path: Path) -> None:
    with open_place(tmp_path, rules='@id("sql") permit (principal, action in Action::"sql", resource);') as place:
        times = {"opened_at": NOW, "expires_at": NOW + 300 * SECOND, "approvers": frozenset({"group:security"})}
        place.approvals.open(request(1, requester=AGENT, **times))
        async with place.client() as client:
            for who in (OWNER, BEHIND, OPERATOR, ASKED):
                assert (await client.get("/api/v1/approvals", headers=who)).json() == {"approvals": []}
                body = {"verdict": "approve", "reason": "x"}
                vote = await client.post(f"/api/v1/approvals/{ONE}/vote", headers=who, json=body)
                assert vote.status_code == 404
        assert place.approvals.find(ONE).state == "open"


async def test_a_rule_may_take_deciding_from_somebody_who_is_asked(tmp_path: Path) -> None:
    rules = (
        '@id("all") permit (principal, action in Action::"gatebook", resource);\n'
        '@id("not-from-outside") @reason("from inside only")'
        ' forbid (principal, action == Action::"gatebook.approvals.decide", resource)'
        ' unless { context.client_address.isInRange(ip("10.0.0.0/8")) };'
    )
    with open_place(tmp_path, rules=rules) as place:
        times = {"opened_at": NOW, "expires_at": NOW + 300 * SECOND, "approvers": frozenset({"group:security"})}
        place.approvals.open(request(1, requester=AGENT, **times))
        body = {"verdict": "approve", "reason": "x"}
        async with place.client() as client:
            refused = await client.post(f"/api/v1/approvals/{ONE}/vote", headers=ASKED, json=body)
            assert (refused.status_code, refused.json()["detail"]) == (403, "from inside only")
        async with place.client("10.0.0.7") as client:
            assert (await client.post(f"/api/v1/approvals/{ONE}/vote", headers=ASKED, json=body)).status_code == 200
