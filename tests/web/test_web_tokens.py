"""Gateway tokens over the API: who sees and ends which, what the book has of it, and that an id is no token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.identity.issuer import ISSUER, NOW, SECOND
from tests.make import identity
from tests.web.place import Place, open_place
from tests.web.test_web_acts import BEHIND, OPERATOR, OTHER, OTHER_AGENT, OWNER, acts

from gatebook.identity.tokens import ID_CHARACTERS, digest_of

AGENT = identity(subject="agent-7", issuer=ISSUER, on_behalf_of="olga", expires_at=NOW + 600 * SECOND)
VIEW, REVOKE = "gatebook.tokens.view", "gatebook.tokens.revoke"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as made:
        made.pages.entries.clear()
        yield made


def give(place: Place, who: Any = AGENT, seconds: int = 300) -> tuple[str, str]:
    """A token, and its id."""
    token = place.tokens.issue(who, now=place.now, seconds=seconds)
    return token, (digest_of(token) or b"").hex()[:ID_CHARACTERS]


@pytest.mark.parametrize(
    ("who", "listed", "ended"),
    [(OWNER, True, 200), (BEHIND, True, 200), (OPERATOR, True, 200), (OTHER, False, 404), (OTHER_AGENT, False, 404)],
    ids=["owner", "whom it acts for", "operator", "other", "another agent in the operators' group"],
)
async def test_everybody_sees_and_revokes_what_the_rules_permit_them(
    place: Place, who: dict[str, str], listed: bool, ended: int
) -> None:
    token, number = give(place)
    async with place.client() as client:
        rows = (await client.get("/api/v1/tokens", headers=who)).json()["tokens"]
        assert [one["id"] for one in rows] == ([number] if listed else [])
        answer = await client.delete(f"/api/v1/tokens/{number}?reason=laptop+lost", headers=who)
        assert answer.status_code == ended
        used = await client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    assert used.status_code == (401 if ended == 200 else 200)
    assert (place.tokens.find(token, place.now) is None) == (ended == 200)


async def test_the_book_has_who_revoked_which_and_why_before_it_is_done(place: Place) -> None:
    token, number = give(place)
    place.pages.entries.clear()
    async with place.client() as client:
        await client.delete(f"/api/v1/tokens/{number}", headers=OTHER)
        await client.delete(f"/api/v1/tokens/{number[:8]}?reason=laptop+lost", headers=OPERATOR)
    operators = "gatebook-operators"
    assert acts(place) == [
        (VIEW, number, "block", "no-rule"),
        (VIEW, number, "allow", operators),
        (REVOKE, number, "allow", operators),
    ]
    assert place.pages.entries[-1].fields["why"] == "laptop lost"
    assert token not in str([dict(entry.fields) for entry in place.pages.entries])


async def test_without_a_book_no_token_is_shown_and_none_revoked(place: Place) -> None:
    token, number = give(place)
    place.pages.full = True
    async with place.client() as client:
        assert (await client.get("/api/v1/tokens", headers=OPERATOR)).status_code == 503
        assert (await client.delete(f"/api/v1/tokens/{number}", headers=OPERATOR)).status_code == 503
    assert place.tokens.find(token, place.now) is not None


async def test_what_lists_say_of_a_token_lets_nobody_in(place: Place) -> None:
    token, number = give(place)
    async with place.client() as client:
        listed = await client.get("/api/v1/tokens", headers=OPERATOR)
        for said in (number, f"gbt_{number}", (digest_of(token) or b"").hex()):
            assert (await client.get("/api/v1/whoami", headers={"Authorization": f"Bearer {said}"})).status_code == 401
    assert token not in listed.text
    assert (digest_of(token) or b"").hex() not in listed.text
    assert set(listed.json()["tokens"][0]) == {
        "id", "subject", "issuer", "kind", "on_behalf_of", "target", "issued_at", "expires_at", "revoked_at", "live",
    }  # fmt: skip


async def test_a_token_that_is_dead_already_is_not_revoked_and_nothing_is_written(place: Place) -> None:
    _, revoked = give(place)
    _, expired = give(place, seconds=1)
    async with place.client() as client:
        assert (await client.delete(f"/api/v1/tokens/{revoked}", headers=OPERATOR)).status_code == 200
        place.now += 2 * SECOND
        place.pages.entries.clear()
        for number in (revoked, expired):
            again = await client.delete(f"/api/v1/tokens/{number}", headers=OPERATOR)
            assert (again.status_code, "already" in again.text) == (409, True)
        assert {one["live"] for one in (await client.get("/api/v1/tokens", headers=OPERATOR)).json()["tokens"]} == {False}
        assert (await client.get("/api/v1/tokens?live=true", headers=OPERATOR)).json()["tokens"] == []
    assert REVOKE not in [verb for verb, *_ in acts(place)]


@pytest.mark.parametrize("name", ["z", "gbt_x", "0" * 17, "0" * 64, "%25", "A", "-1"])
async def test_what_is_no_id_finds_nothing(place: Place, name: str) -> None:
    give(place)
    async with place.client() as client:
        assert (await client.delete(f"/api/v1/tokens/{name}", headers=OPERATOR)).status_code == 404
    assert [verb for verb, *_ in acts(place)] == []


async def test_a_beginning_that_several_tokens_share_ends_none_of_them(place: Place) -> None:
    given = [give(place) for _ in range(17)]  # two of them begin with the same digit
    first = [number[0] for _, number in given]
    shared = next(digit for digit in first if first.count(digit) > 1)
    async with place.client() as client:
        assert (await client.delete(f"/api/v1/tokens/{shared}", headers=OPERATOR)).status_code == 404
    assert all(place.tokens.find(token, place.now) for token, _ in given)


async def test_a_namesake_of_another_provider_is_somebody_else(place: Place) -> None:
    _, number = give(place, identity(subject="agent-7", issuer="https://another.test", expires_at=NOW + 600 * SECOND))
    async with place.client() as client:
        assert (await client.get("/api/v1/tokens", headers=OWNER)).json()["tokens"] == []
        assert (await client.delete(f"/api/v1/tokens/{number}", headers=OWNER)).status_code == 404


@pytest.mark.parametrize("reason", ["x" * 2_000, "two%0Alines"])
async def test_a_reason_is_one_line_with_an_end(place: Place, reason: str) -> None:
    token, number = give(place)
    async with place.client() as client:
        assert (await client.delete(f"/api/v1/tokens/{number}?reason={reason}", headers=OPERATOR)).status_code == 400
    assert place.tokens.find(token, place.now) is not None
