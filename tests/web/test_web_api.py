"""The API: exchange of tokens, who one is, which targets one may open, and what strangers get to see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.identity.issuer import AUDIENCE, ISSUER, NOW, OTHER_RSA_KEY, SECOND, claims, token
from tests.web.place import Place, open_place

from gatebook import __version__
from gatebook.web.exchange import ACCESS_TOKEN, EXCHANGE
from gatebook.web.guard import BODY_BYTES
from gatebook.web.limits import ADDRESSES, FAILURES, SECONDS_PER_FAILURE, FailedProofs

JWT = "urn:ietf:params:oauth:token-type:jwt"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as made:
        yield made


def form(sent: str, **changes: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": sent, "subject_token_type": JWT} | changes


def bearer(sent: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent}"}


async def exchanged(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/v1/token", data=form(token()))
    return str(answer.json()["access_token"])


async def test_a_providers_token_buys_a_gateway_token_that_says_who_one_is(place: Place) -> None:
    async with place.client() as client:
        answer = await client.post("/api/v1/token", data=form(token()))
        assert answer.status_code == 200
        body = answer.json()
        assert {name: body[name] for name in ("issued_token_type", "token_type", "expires_in")} == {
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": 300,
        }
        assert answer.headers["cache-control"] == "no-store"
        who = await client.get("/api/v1/whoami", headers=bearer(body["access_token"]))
    assert who.json() == {
        "subject": "agent-7",
        "issuer": ISSUER,
        "kind": "agent",
        "groups": ["agents"],
        "attributes": {"model": {"value": "opus", "attested": True}},
        "on_behalf_of": None,
        "proven_at": NOW,
        "expires_at": NOW + 300 * SECOND,
    }


async def test_a_gateway_token_lives_no_longer_than_the_one_it_was_given_for(place: Place) -> None:
    async with place.client() as client:
        answer = await client.post("/api/v1/token", data=form(token(claims(exp=NOW // SECOND + 42))))
        assert answer.json()["expires_in"] == 42
        place.now += 42 * SECOND
        who = await client.get("/api/v1/whoami", headers=bearer(answer.json()["access_token"]))
    assert who.status_code == 401
    assert "expired at 2027-01-15T08:00:42Z" in who.json()["detail"]


async def test_a_gateway_token_cannot_be_exchanged(place: Place) -> None:
    async with place.client() as client:
        answer = await client.post("/api/v1/token", data=form(await exchanged(client)))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert "cannot be exchanged" in answer.json()["error_description"]


async def test_a_providers_token_says_who_one_is_too(place: Place) -> None:
    async with place.client() as client:
        who = await client.get("/api/v1/whoami", headers=bearer(token(claims(sub="alice", act={"sub": "agent-7"}))))
    assert (who.status_code, who.json()["subject"], who.json()["on_behalf_of"]) == (200, "agent-7", "alice")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
        ({"subject_token_type": ""}, "invalid_request"),
        ({"requested_token_type": JWT}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"audience": "elsewhere"}, "invalid_target"),
        ({"resource": "https://elsewhere.test"}, "invalid_target"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "a.b.c"}, "invalid_request"),
        ({"subject_token": "gbt_unknown"}, "invalid_request"),
    ],
)
async def test_an_exchange_that_is_not_one_is_refused(place: Place, changes: dict[str, str], error: str) -> None:
    async with place.client() as client:
        answer = await client.post("/api/v1/token", data=form(token(), **changes))
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "access_token" not in answer.json()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % place for place in range(50)), "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b'{"grant_type": "x"}', "application/json"),
        (b"grant_type=x", ""),
    ],
)
async def test_a_body_that_is_no_form_is_refused(place: Place, content: bytes, content_type: str) -> None:
    async with place.client() as client:
        answer = await client.post("/api/v1/token", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type")


async def test_a_body_past_the_limit_is_not_read(place: Place) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 * BODY_BYTES:
            sent += 4_096
            yield b"x" * 4_096

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with place.client() as client:
        answer = await client.post("/api/v1/token", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= BODY_BYTES + 3 * 4_096


async def test_a_refused_token_says_why_and_shows_nothing_of_it(place: Place) -> None:
    sent = token(claims(aud="elsewhere"))
    async with place.client() as client:
        who = await client.get("/api/v1/whoami", headers=bearer(sent))
        traded = await client.post("/api/v1/token", data=form(sent))
    assert who.status_code == 401
    assert who.headers["content-type"] == "application/problem+json"
    assert who.headers["www-authenticate"] == 'Bearer realm="gatebook", error="invalid_token"'
    assert f"whose audience is {AUDIENCE}" in who.json()["detail"]
    assert f"whose audience is {AUDIENCE}" in traded.json()["error_description"]
    for part in sent.split("."):
        assert part not in who.text + traded.text


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer  ")],
        [("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer a.b.c")],
    ],
)
async def test_without_one_bearer_token_nobody_gets_in(place: Place, headers: list[tuple[str, str]]) -> None:
    async with place.client() as client:
        for path in ("/api/v1/whoami", "/api/v1/targets"):
            answer = await client.get(path, headers=httpx.Headers(headers))
            assert (answer.status_code, answer.headers["www-authenticate"].split(",")[0]) == (401, 'Bearer realm="gatebook"')


async def test_targets_are_those_one_may_open_and_where(place: Place) -> None:
    async with place.client() as client:
        answer = await client.get("/api/v1/targets", headers=bearer(await exchanged(client)))
    shop = {"name": "shop", "protocol": "postgres", "host": "127.0.0.1", "port": 15432, "tls": False, "user": "agent-7"}
    assert answer.json() == {"targets": [shop]}


async def test_whoever_may_open_nothing_sees_no_target(place: Place) -> None:
    place.may_open = lambda _identity, _name, _why: False
    async with place.client() as client:
        answer = await client.get("/api/v1/targets", headers=bearer(await exchanged(client)))
    assert answer.json() == {"targets": []}


async def test_strangers_learn_how_to_prove_who_they_are_and_nothing_of_targets(place: Place) -> None:
    async with place.client() as client:
        answer = await client.get("/api/v1/about")
    assert answer.json() == {
        "name": "gatebook",
        "version": __version__,
        "token_path": "/api/v1/token",
        "providers": [{"name": "demo", "issuer": ISSUER, "audience": AUDIENCE}],
    }
    assert "shop" not in answer.text


async def test_readiness_names_the_part_that_fails(place: Place) -> None:
    async with place.client() as client:
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        place.ledger_ok = False
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "not ready: ledger")
        with place.source.begin() as connection:
            connection.exec_driver_sql("DROP TABLE alembic_version")
        assert (await client.get("/readyz")).json()["detail"] == "not ready: ledger, database"
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_a_database_that_fails_lets_nobody_in(place: Place) -> None:
    async with place.client() as client:
        sent = await exchanged(client)
        with place.source.begin() as connection:
            connection.exec_driver_sql("DROP TABLE gateway_tokens")
            connection.exec_driver_sql("DROP TABLE identities")
        for given in (sent, token()):
            answer = await client.get("/api/v1/whoami", headers=bearer(given))
            assert answer.status_code == 401
            assert "database cannot be used" in answer.json()["detail"]


async def test_a_provider_that_is_down_is_not_the_callers_fault(place: Place) -> None:
    place.issuer.down = True
    async with place.client() as client:
        for _ in range(2 * FAILURES):
            answer = await client.get("/api/v1/whoami", headers=bearer(token()))
        traded = await client.post("/api/v1/token", data=form(token()))
    assert (answer.status_code, traded.status_code) == (503, 503)
    assert "identity provider demo cannot be reached" in answer.json()["detail"]
    assert traded.json()["error"] == "temporarily_unavailable"


async def test_an_address_that_fails_too_often_waits_and_others_do_not(place: Place) -> None:
    bad, good = bearer(token(key=OTHER_RSA_KEY)), bearer(token())
    async with place.client("10.0.0.1") as client, place.client("10.0.0.2") as other:
        for _ in range(FAILURES):
            assert (await client.get("/api/v1/whoami", headers=bad)).status_code == 401
        answer = await client.get("/api/v1/whoami", headers=good)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert (await client.post("/api/v1/token", data=form(token()))).status_code == 429
        assert (await other.get("/api/v1/whoami", headers=good)).status_code == 200
        place.steady.seconds += SECONDS_PER_FAILURE
        assert (await client.get("/api/v1/whoami", headers=good)).status_code == 200


def test_memory_of_failures_has_an_end() -> None:
    failed = FailedProofs()
    for place in range(ADDRESSES + 500):
        failed.failed(f"10.{place >> 16}.{place >> 8 & 255}.{place & 255}", 0.0)
    assert len(failed._emptied) == ADDRESSES


def test_one_ipv6_customer_counts_as_one_address() -> None:
    failed = FailedProofs()
    for place in range(FAILURES):
        failed.failed(f"2001:db8::{place:x}", 0.0)
    assert failed.wait("2001:db8::ffff", 0.0) == SECONDS_PER_FAILURE
    assert failed.wait("2001:db8:0:1::1", 0.0) == 0.0
    assert failed.wait("2001:db8::1", FAILURES * SECONDS_PER_FAILURE) == 0.0


async def test_a_token_in_clear_from_afar_is_refused_unread(place: Place) -> None:
    async with place.client("10.0.0.1", "http://gatebook.test") as client:
        for answer in (
            await client.get("/api/v1/whoami", headers=bearer(token())),
            await client.post("/api/v1/token", data=form(token())),
        ):
            assert answer.status_code == 403
            assert "connect with https" in answer.json()["detail"]
    assert place.issuer.asked == []
    async with place.client("::1", "http://gatebook.test") as client:
        assert (await client.get("/api/v1/whoami", headers=bearer(token()))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/healthz", 405), ("GET", "/api/v1/token", 405)]
)
async def test_other_routes_and_methods_answer_as_problems(place: Place, method: str, path: str, status: int) -> None:
    async with place.client() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_fault_of_ours_tells_nothing_and_keeps_the_headers(place: Place) -> None:
    def fail(*_: object) -> bool:
        raise AssertionError("secret detail")

    place.may_open = fail
    async with place.client() as client:
        answer = await client.get("/api/v1/targets", headers=bearer(token()))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_answer_has_the_headers_that_browsers_obey(place: Place) -> None:
    async with place.client() as client:
        for path in ("/healthz", "/api/v1/about", "/api/v1/whoami", "/nowhere"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert "server" not in headers
            assert "access-control-allow-origin" not in headers
