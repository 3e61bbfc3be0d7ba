"""Votes and ends of sessions through pages: who may, what they saw, and where the request came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.identity.issuer import SECOND
from tests.web.pages.site import ORIGIN, OWN, Site, add_session, asked, identity, open_site, uuid

from gatebook.access.approvals import State
from gatebook.access.requests import SCRIPT, Part, Script
from gatebook.db import writing
from gatebook.gateway import store
from gatebook.model import Kind, Reach, Ruling

FORGED: list[dict[str, str]] = [
    {},
    {"Origin": ORIGIN},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "none"},
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://evil.test", "Sec-Fetch-Site": "same-origin"},
    {"Origin": f"{ORIGIN}.evil.test", "Sec-Fetch-Site": "same-origin"},
    {"Origin": f"{ORIGIN}:8443", "Sec-Fetch-Site": "same-origin"},
    {"Origin": ORIGIN.replace("https", "http"), "Sec-Fetch-Site": "same-origin"},
    {"Origin": ORIGIN.upper(), "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin"},
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as made:
        yield made


def ballot(number: int = 1, **changes: str) -> dict[str, str]:
    return {"verdict": "approve", "reason": "", "digest": f"sha256:{number:064x}"} | changes


async def vote(client: httpx.AsyncClient, number: int = 1, headers: dict[str, str] = OWN, **changes: str) -> httpx.Response:
    return await client.post(f"/approvals/{uuid(number)}/vote", data=ballot(number, **changes), headers=headers)


def state(site: Site, number: int = 1) -> State:
    return site.approvals.find(uuid(number)).state


async def test_a_vote_counts_and_stands_in_the_book_before_it_does(site: Site) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        answer = await vote(client, reason="fine")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/approvals/{uuid(1)}")
    assert state(site) is State.APPROVED
    assert [entry.kind for entry in site.entries] == [
        "approval.request",
        "gatebook.act",  # a look
        "gatebook.act",  # the act of deciding
        "approval.vote",
        "approval.result",
    ]


@pytest.mark.parametrize("headers", FORGED)
async def test_a_change_that_does_not_come_from_our_pages_is_refused(site: Site, headers: dict[str, str]) -> None:
    site.approvals.open(asked())
    session = add_session(site.source)
    async with site.browser() as client:
        await site.sign_in(client)
        del client.headers["Sec-Fetch-Site"]
        assert (await vote(client, headers=headers)).status_code == 403
        assert (await client.post(f"/sessions/{session}/end", data={"reason": "x"}, headers=headers)).status_code == 403
        assert (await client.post("/sign-out", headers=headers)).status_code == 403
        assert (await client.get("/approvals")).status_code == 200
    assert state(site) is State.OPEN
    with site.source.connect() as connection:
        assert store.kills_requested(connection) == []


async def test_nobody_changes_anything_without_being_signed_in(site: Site) -> None:
    site.approvals.open(asked())
    session = add_session(site.source)
    async with site.browser() as client:
        assert (await vote(client)).status_code == 401
        assert (await client.post(f"/sessions/{session}/end", headers=OWN)).status_code == 401
    assert state(site) is State.OPEN


async def test_changes_are_not_made_by_links(site: Site) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.get(f"/approvals/{uuid(1)}/vote", params=ballot())).status_code == 405
    assert state(site) is State.OPEN


@pytest.mark.parametrize(
    ("said", "status"),
    [({"groups": ["support"]}, 404), ({"sub": "olga"}, 403), ({"sub": "OLGA"}, 403), ({"sub": "shop-agent"}, 403)],
)
async def test_who_is_behind_a_request_or_not_asked_does_not_decide_it(site: Site, said: dict[str, Any], status: int) -> None:
    site.approvals.open(asked(requester=identity(on_behalf_of="olga")))
    async with site.browser() as client:
        await site.sign_in(client, **said)
        assert (await vote(client)).status_code == status
    assert state(site) is State.OPEN


@pytest.mark.parametrize("number", [2, 3])
async def test_a_vote_falls_on_nothing_but_what_was_looked_at(site: Site, number: int) -> None:
    site.approvals.open(asked(1))
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await vote(client, 1, digest=f"sha256:{number:064x}")).status_code == 409
        assert (await vote(client, number)).status_code == 404
    assert state(site) is State.OPEN


@pytest.mark.parametrize(
    "changes", [{"verdict": ""}, {"verdict": "yes"}, {"digest": ""}, {"verdict": "deny"}, {"reason": "x" * 5_000}]
)
async def test_a_vote_that_says_too_little_or_too_much_is_none(site: Site, changes: dict[str, str]) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await vote(client, **changes)).status_code == 400
    assert state(site) is State.OPEN


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("verdict=approve&verdict=deny&digest=x", "application/x-www-form-urlencoded", 400),
        ("\xff", "application/x-www-form-urlencoded", 400),
        ("{}", "application/json", 415),
        ("verdict=approve", "text/plain", 415),
        ("x" * 40_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_broken_forms_change_nothing(site: Site, body: str, kind: str, status: int) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        headers = OWN | {"Content-Type": kind}
        answer = await client.post(f"/approvals/{uuid(1)}/vote", content=body.encode("latin-1"), headers=headers)
    assert answer.status_code == status
    assert state(site) is State.OPEN


async def test_what_is_over_or_decided_is_not_decided_again(site: Site) -> None:
    site.approvals.open(asked(1))
    site.approvals.open(asked(2, expires_at=site.now + 5 * SECOND))
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await vote(client, 1)).status_code == 303
        assert (await vote(client, 1, verdict="deny", reason="no")).status_code == 409
        site.now += 5 * SECOND
        assert (await vote(client, 2)).status_code == 409
    assert (state(site, 1), state(site, 2)) == (State.APPROVED, State.EXPIRED)


async def test_a_vote_that_the_book_cannot_keep_does_not_count(site: Site) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        site.book_lost = True
        answer = await vote(client)
    assert answer.status_code == 503
    assert "nothing was changed" in answer.text
    assert state(site) is State.OPEN


async def test_a_page_shows_a_request_to_those_who_may_see_it_only(site: Site) -> None:
    site.approvals.open(asked(approvers=frozenset({"group:security"}), requester=identity(on_behalf_of="olga")))
    seen = {}
    for sub, groups in (("olga", ["support"]), ("mallory", ["support"]), ("sam", ["security"]), ("dana", ["dba"])):
        async with site.browser() as client:
            await site.sign_in(client, sub=sub, groups=groups)
            one, every = await client.get(f"/approvals/{uuid(1)}"), await client.get("/approvals")
            seen[sub] = (one.status_code, uuid(1) in every.text, 'value="approve"' in one.text)
    assert seen == {
        "olga": (200, True, False),
        "mallory": (404, False, False),
        "sam": (200, True, True),
        "dana": (200, True, False),
    }


async def test_people_see_and_end_their_own_sessions_and_operators_all(site: Site) -> None:
    mine, other = add_session(site.source, 901, "frank", "SELECT 1"), add_session(site.source, 902, "shop-agent")
    async with site.browser() as client:
        await site.sign_in(client, sub="frank", groups=["support"])
        listed = (await client.get("/sessions")).text
        assert (mine in listed, other in listed) == (True, False)
        assert (await client.get(f"/sessions/{other}")).status_code == 404
        assert (await client.post(f"/sessions/{other}/end", data={"reason": "x"}, headers=OWN)).status_code == 404
        assert (await client.post(f"/sessions/{mine}/end", data={"reason": ""}, headers=OWN)).status_code == 303
    async with site.browser() as client:
        await site.sign_in(client)
        listed = (await client.get("/sessions")).text
        assert (mine in listed, other in listed) == (True, True)
        assert (await client.post(f"/sessions/{other}/end", data={"reason": "runs wild"}, headers=OWN)).status_code == 303
    with site.source.connect() as connection:
        asked_for = sorted(store.kills_requested(connection))
    assert asked_for == [(mine, "person:frank", "no reason given"), (other, "person:dana", "runs wild")]


async def test_a_session_that_is_closed_is_not_ended_again(site: Site) -> None:
    session = add_session(site.source)
    with writing(site.source) as connection:
        store.close_session(connection, session=session, at=site.now, reason="done", counts=(0, 0), sizes=(0, 0))
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.post(f"/sessions/{session}/end", headers=OWN, data={"reason": "x"})).status_code == 409
        assert (await client.post(f"/sessions/{uuid(5)}/end", headers=OWN, data={"reason": "x"})).status_code == 404


@pytest.mark.parametrize("reason", ["a\nb", "a\x1b[2J", "\u202ea", "x" * 301])
async def test_a_reason_that_a_client_is_told_is_one_line_that_can_be_seen(site: Site, reason: str) -> None:
    session = add_session(site.source)
    async with site.browser() as client:
        await site.sign_in(client)
        assert (await client.post(f"/sessions/{session}/end", data={"reason": reason}, headers=OWN)).status_code == 400


async def test_a_page_that_has_not_changed_is_not_sent_again(site: Site) -> None:
    site.approvals.open(asked())
    async with site.browser() as client:
        await site.sign_in(client)
        first = await client.get("/approvals")
        site.now += 5 * SECOND
        again = await client.get("/approvals", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        site.approvals.vote(uuid(1), identity("erin", Kind.PERSON, groups=frozenset({"dba"})), True, "", site.now)
        changed = await client.get("/approvals", headers={"If-None-Match": first.headers["etag"]})
        assert changed.status_code == 200


async def test_a_database_that_is_away_is_said_and_nothing_more(site: Site) -> None:
    async with site.browser() as client:
        await site.sign_in(client)
        with writing(site.source) as connection:
            connection.exec_driver_sql("DROP TABLE page_sign_ins")
        answer = await client.get("/approvals")
    assert answer.status_code == 503
    assert "page_sign_ins" not in answer.text


async def test_a_script_is_shown_statement_by_statement_and_asked_for_as_one(site: Site) -> None:
    said: dict[str, Any] = {"resources": ("public.notes",), "rule": "ddl-needs-a-dba", "reason": "careful <b>now</b>"}
    parts = (
        Part(line=1, verb="sql.select", reach=Reach.READ, ruling=Ruling.ALLOW, **said),
        Part(line=7, verb="sql.alter", reach=Reach.ADMIN, ruling=Ruling.APPROVE, **said),
    )
    script = Script(sha256="ab" * 32, size=12, parts=parts)
    site.approvals.open(asked(kind=SCRIPT, script=script, masks=frozenset({"pii"})))
    async with site.browser() as client:
        await site.sign_in(client)
        page = (await client.get(f"/approvals/{uuid(1)}")).text
        for shown in (
            "a script of 2 statements",
            "Script, whole",
            "line 7",
            "ab" * 32,
            "careful &lt;b&gt;now",
            "Answer masked",
        ):
            assert shown in page
        assert page.count("careful") == 1
        assert "a script of 2 statements" in (await client.get("/approvals")).text
        assert (await vote(client)).status_code == 303
    assert state(site) is State.APPROVED
