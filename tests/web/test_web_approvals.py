"""Approvals and grants over HTTP: who sees what, whose vote counts, and what a no looks like."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.access.party import request
from tests.identity.issuer import ISSUER, NOW, SECOND, claims, token
from tests.make import identity
from tests.web.place import Place, open_place

from gatebook.access.approvals import PENDING_MAX, State
from gatebook.db import writing
from gatebook.web.approvals import LISTED_CHARACTERS, SHOWN_CHARACTERS
from gatebook.web.events import STREAMS_EACH, Events
from gatebook.web.problems import Problem

AGENT = identity(subject="agent-7", issuer=ISSUER, expires_at=NOW + 600 * SECOND)
ONE = request().id
VOTE = f"/api/v1/approvals/{ONE}/vote"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as made:
        yield made


def ask(place: Place, number: int = 1, **changes: Any) -> None:
    times = {"opened_at": NOW, "expires_at": NOW + 300 * SECOND}
    place.approvals.open(request(number, **({"requester": AGENT} | times | changes)))


def person(subject: str = "dana", *groups: str) -> dict[str, str]:
    return bearer(sub=subject, kind="person", groups=list(groups or ("dba",)))


def bearer(**changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(claims(**changes))}"}


async def vote(client: httpx.AsyncClient, headers: dict[str, str], path: str = VOTE, **body: Any) -> httpx.Response:
    return await client.post(path, headers=headers, json={"verdict": "approve", "reason": "looks right"} | body)


async def test_an_approver_sees_what_waits_and_approves_it(place: Place) -> None:
    ask(place)
    async with place.client() as client:
        listed = (await client.get("/api/v1/approvals?state=open", headers=person())).json()["approvals"]
        assert [(one["id"], one["may_vote"], one["yours"]) for one in listed] == [(ONE, True, False)]
        answer = await vote(client, person(), digest=listed[0]["digest"])
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["may_vote"]) == ("approved", False)
    assert answer.json()["votes"] == [{"by": "dana", "approved": True, "reason": "looks right", "at": NOW}]
    assert place.approvals.use(ONE, request().digest, NOW)


async def test_a_denial_reaches_the_requester_with_its_reason(place: Place) -> None:
    ask(place)
    async with place.client() as client:
        assert (await vote(client, person(), verdict="deny", reason="not on a Friday")).status_code == 200
        seen = (await client.get(f"/api/v1/approvals/{ONE[:18]}", headers=bearer())).json()
    assert (seen["state"], seen["why"], seen["yours"]) == ("denied", "not on a Friday", True)


async def test_what_one_may_neither_decide_nor_asked_for_is_not_there(place: Place) -> None:
    ask(place)
    stranger = person("sven", "staff")
    async with place.client() as client:
        assert (await client.get("/api/v1/approvals", headers=stranger)).json() == {"approvals": []}
        hidden = await client.get(f"/api/v1/approvals/{ONE}", headers=stranger)
        missing = await client.get("/api/v1/approvals/nowhere", headers=stranger)
        assert (hidden.status_code, hidden.content) == (missing.status_code, missing.content)
        assert (await vote(client, stranger)).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "person", "groups": ["dba", "administrators"]},
        {"kind": "agent", "groups": ["dba"], "sub": "other-agent"},
        {"kind": "person", "groups": ["dba"], "sub": "agent-7", "act": {"sub": "robot"}},
    ],
    ids=["its own", "its own, as administrator", "another agent", "on behalf of itself"],
)
async def test_an_agents_yes_never_counts(place: Place, changes: dict[str, Any]) -> None:
    ask(place)
    async with place.client() as client:
        answer = await vote(client, bearer(**changes))
    assert answer.status_code == (404 if changes.get("sub") == "other-agent" else 403)
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}


async def test_without_a_token_nothing_is_said(place: Place) -> None:
    ask(place)
    async with place.client() as client:
        for method, path in [
            ("GET", "/api/v1/approvals"),
            ("GET", f"/api/v1/approvals/{ONE}"),
            ("POST", VOTE),
            ("GET", "/api/v1/grants"),
            ("POST", "/api/v1/grants"),
            ("DELETE", f"/api/v1/grants/{ONE}"),
            ("GET", "/api/v1/events"),
        ]:
            assert (await client.request(method, path)).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/v1/approvals/nowhere/vote", {}, 404),
        (VOTE, {"digest": "sha256:other"}, 409),
        (VOTE, {"verdict": "deny", "reason": ""}, 400),
        (VOTE, {"verdict": "yes"}, 400),
        (VOTE, {"verdict": True}, 400),
        (VOTE, {"reason": "x" * 501}, 400),
        (VOTE, {"approved": True}, 400),
    ],
)
async def test_a_vote_that_makes_no_sense_decides_nothing(place: Place, path: str, body: dict[str, Any], status: int) -> None:
    ask(place)
    async with place.client() as client:
        answer = await vote(client, person(), path, **body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}


@pytest.mark.parametrize(
    ("content_type", "content", "status"),
    [
        ("text/plain", b'{"verdict": "approve"}', 415),
        ("application/x-www-form-urlencoded", b"verdict=approve", 415),
        ("application/json", b'{"verdict": "deny", "verdict": "approve"}', 400),
        ("application/json", b"[1]", 400),
        ("application/json", b"{", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b'{"verdict": "deny", "reason": "\\ud800"}', 400),
    ],
)
async def test_a_vote_in_another_form_decides_nothing(place: Place, content_type: str, content: bytes, status: int) -> None:
    ask(place)
    async with place.client() as client:
        answer = await client.post(VOTE, headers=person() | {"Content-Type": content_type}, content=content)
    assert answer.status_code == status
    assert place.approvals.states([ONE]) == {ONE: State.OPEN}


async def test_two_who_answer_at_once_are_told_who_was_first(place: Place) -> None:
    ask(place)
    async with place.client() as client:
        answers = await asyncio.gather(vote(client, person("dana")), vote(client, person("erik"), verdict="deny"))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_long_text_is_cut_in_a_list_and_says_how_long_it_is(place: Place) -> None:
    text = "x" * (SHOWN_CHARACTERS + 1)
    ask(place, text=text)
    async with place.client() as client:
        listed = (await client.get("/api/v1/approvals", headers=person())).json()["approvals"][0]
        alone = (await client.get(f"/api/v1/approvals/{ONE}", headers=person())).json()
    assert (len(listed["text"]), listed["size"]) == (LISTED_CHARACTERS, len(text))
    assert (len(alone["text"]), alone["size"]) == (SHOWN_CHARACTERS, len(text))


async def test_lists_are_by_state_and_kind(place: Place) -> None:
    ask(place)
    ask(place, 2, kind="script")
    place.approvals.leave(ONE, NOW, "gone")
    async with place.client() as client:
        for query, ids in [("state=void", [1]), ("state=open", [2]), ("kind=script", [2]), ("kind=grant", []), ("", [2, 1])]:
            listed = (await client.get(f"/api/v1/approvals?{query}", headers=person())).json()["approvals"]
            assert [int(one["id"][-1]) for one in listed] == ids
        assert (await client.get("/api/v1/approvals?state=lost", headers=person())).status_code == 400


async def test_a_book_or_database_that_is_away_means_no(place: Place) -> None:
    ask(place)
    async with place.client() as client:
        place.pages.full = True
        answer = await vote(client, person())
        assert (answer.status_code, answer.json()["detail"]) == (503, "the ledger cannot be written, so nothing was done")
        place.pages.full = False
        assert place.approvals.states([ONE]) == {ONE: State.OPEN}
        with writing(place.source) as connection:
            connection.exec_driver_sql("ALTER TABLE approvals RENAME TO elsewhere")
        answer = await vote(client, person())
    assert answer.status_code == 503
    assert "the answer is no" in answer.json()["detail"]


WISH = {"targets": ["shop"], "reach": "write", "seconds": 3_600, "reason": "restore orders", "purpose": "OPS-7"}


async def test_a_grant_is_asked_for_given_used_and_taken_back(place: Place) -> None:
    async with place.client() as client:
        asked = await client.post("/api/v1/grants", headers=bearer(), json=WISH)
        assert (asked.status_code, asked.json()["kind"], asked.json()["state"]) == (202, "grant", "open")
        assert (await vote(client, person(), f"{asked.headers['location']}/vote")).json()["grant"] == asked.json()["id"]
        for headers in (bearer(), person()):
            (grant,) = (await client.get("/api/v1/grants", headers=headers)).json()["grants"]
            assert (grant["subject"], grant["targets"], grant["reach"], grant["live"]) == ("agent-7", ["shop"], "write", True)
            assert grant["expires_at"] - grant["not_before"] == 3_600 * SECOND
        assert (await client.get("/api/v1/grants", headers=person("sven", "staff"))).json() == {"grants": []}
        assert (await client.delete(f"/api/v1/grants/{grant['id']}", headers=person("sven", "staff"))).status_code == 404
        assert place.grants.live(ISSUER, "agent-7", "shop", NOW) == "write"
        ended = await client.delete(f"/api/v1/grants/{grant['id'][:18]}?reason=done", headers=person())
        assert (ended.status_code, ended.json()["live"], ended.json()["revoked_by"]) == (200, False, "dana")
        assert place.grants.live(ISSUER, "agent-7", "shop", NOW) is None
        assert (await client.delete(f"/api/v1/grants/{grant['id']}", headers=person())).status_code == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": []},
        {"targets": "shop"},
        {"targets": [1]},
        {"targets": ["x" * 64]},
        {"targets": ["shop\n"]},
        {"reach": "root"},
        {"reach": "unknown"},
        {"seconds": 7_201},
        {"seconds": 4},
        {"seconds": True},
        {"seconds": 1e9},
        {"reason": "  "},
        {"reason": "x" * 501},
        {"purpose": "x" * 501},
        {"quorum": 0},
    ],
)
async def test_a_wish_beyond_the_terms_is_refused(place: Place, changes: dict[str, Any]) -> None:
    async with place.client() as client:
        assert (await client.post("/api/v1/grants", headers=bearer(), json=WISH | changes)).status_code == 400
    assert place.approvals.list() == []
    assert place.pages.entries == []


async def test_whoever_asks_too_often_is_told_to_wait(place: Place) -> None:
    async with place.client() as client:
        for _ in range(PENDING_MAX):
            assert (await client.post("/api/v1/grants", headers=bearer(), json=WISH)).status_code == 202
        assert (await client.post("/api/v1/grants", headers=bearer(), json=WISH)).status_code == 429


async def test_events_tell_that_something_changed_and_end_with_the_token(place: Place) -> None:
    async def who(_request: Any) -> Any:
        return AGENT

    events = Events(place.source, who, lambda: place.now, seconds=0.001)
    answer: Any = await events.stream(None)  # type: ignore[arg-type]
    lines = aiter(answer.body_iterator)
    assert "retry: 1000" in await anext(lines)
    ask(place)
    news = await anext(lines)
    while news.startswith(":"):
        news = await anext(lines)
    assert news == "event: approvals\ndata: changed\n\n"
    place.now = AGENT.expires_at
    assert [line async for line in lines if not line.startswith(":")] == []


async def test_one_identity_watches_only_so_many_streams(place: Place) -> None:
    async def who(_request: Any) -> Any:
        return AGENT

    events = Events(place.source, who, lambda: place.now, seconds=0.001)
    streams: list[Any] = [await events.stream(None) for _ in range(STREAMS_EACH)]  # type: ignore[arg-type]
    for stream in streams:
        await anext(stream.body_iterator)
    with pytest.raises(Problem, match="too many streams"):
        await events.stream(None)  # type: ignore[arg-type]
    await streams[0].body_iterator.aclose()
    await events.stream(None)  # type: ignore[arg-type]
    for stream in streams[1:]:
        await stream.body_iterator.aclose()
