from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.testbed.apis import API_KEY, BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

RULES = """
@id("read-apis")
@reason("agents may read")
permit (principal in Group::"agents", action in [Action::"read"], resource) when { context.reach == "read" };
@id("write-customers")
@reason("agents may change customers")
permit (principal in Group::"agents", action in [Action::"http.post", Action::"http.patch", Action::"http.put"], resource);
@id("iam-waits")
@reason("who may do what is decided by people")
@approvers("group:dba")
forbid (principal, action == Action::"http.put", resource) when { context.path like "/iam/*" } unless { context.approved };
@id("no-deletes")
@reason("customers are not deleted")
forbid (principal, action == Action::"http.delete", resource);
"""


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


def vote(gateway: LiveGateway, token: str, approval: str) -> httpx.Response:
    return gateway.send("POST", f"/api/v1/approvals/{approval}/vote", token, {"verdict": "approve", "reason": "OPS-7"})


def answered(gateway: LiveGateway) -> list[dict[str, Any]]:
    assert wait_until(lambda: bool(gateway.entries("answer")), 5)
    return gateway.entries("answer")


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi) -> LiveGateway:
    return new_gateway(apis=[billing.target()], policies={"http": RULES})


def test_a_request_passes_with_the_gateways_credential_in_the_place_of_the_clients(
    door: LiveGateway, billing: BillingApi
) -> None:
    before = len(billing.seen())
    with door.http() as client:
        answer = client.get("/billing/customers/1?full=yes")
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == "Ada Brown"
    (seen,) = billing.seen()[before:]
    assert "authorization" not in seen["fields"]
    assert API_KEY not in answer.text
    assert [one["status"] for one in answered(door)] == ["200"]
    (entry,) = door.entries("action")
    assert (entry["verb"], entry["ruling"], entry["reach"]) == ("http.get", "allow", "read")


def test_a_masked_value_stays_behind_the_gateway(door: LiveGateway, billing: BillingApi) -> None:
    with door.http() as client:
        answer = client.get("/billing/customers")
    assert answer.status_code == 200
    assert len(answer.json()["customers"]) >= 3
    for secret in ("4111 1111 1111 1111", "ada.brown@example.com", "536-22-8726"):
        assert secret not in answer.text
        assert secret.encode() not in door.book_bytes()
    (entry,) = answered(door)
    assert entry["masked"]["email"] >= 3


def test_a_refused_request_never_reaches_the_target_and_the_connection_goes_on(door: LiveGateway, billing: BillingApi) -> None:
    before = len(billing.seen())
    with door.http() as client:
        refused = client.delete("/billing/customers/1")
        again = client.get("/billing/customers/1")
    assert (refused.status_code, again.status_code) == (403, 200)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["rule"] == "no-deletes"
    assert [one["method"] for one in billing.seen()[before:]] == ["GET"]
    assert len({one["sid"] for one in door.entries("action")}) == 1


def test_what_waits_is_answered_at_once_and_passes_after_a_yes_exactly_once(door: LiveGateway, billing: BillingApi) -> None:
    path, body = "/billing/iam/users/ada/roles", {"roles": ["billing-admin"]}
    dana = door.mint(sub="dana", kind="person", groups=["dba"])
    with door.http() as client:
        held = client.put(path, json=body)
        assert (held.status_code, held.json()["class"], held.headers["retry-after"]) == (403, "wait", "10")
        shown = door.api(f"/api/v1/approvals/{held.json()['approval']}", dana).json()
        assert "billing-admin" in json.dumps(shown)
        voted = vote(door, dana, held.json()["approval"])
        assert voted.status_code == 200, voted.text
        other = client.put(path, json={"roles": ["root"]})
        assert other.json()["class"] == "wait", "another body is another action"
        passed = client.put(path, json=body)
        assert passed.status_code == 200, passed.text
        once = client.put(path, json=body)
        assert once.json()["class"] == "wait"
    assert [json.loads(one["body"]) for one in billing.seen() if one["method"] == "PUT"] == [body]


def test_a_client_that_says_so_waits_on_its_connection(door: LiveGateway) -> None:
    dana = door.mint(sub="dana", kind="person", groups=["dba"])

    def ask() -> httpx.Response:
        with door.http() as client:
            return client.put(
                "/billing/iam/users/ops/roles",
                json={"roles": ["waits"]},
                headers={"Gatebook-Hold": "wait", "Gatebook-Why": "OPS-9"},
            )

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        waiting: list[dict[str, str]] = []
        end = time.monotonic() + 10
        while not waiting and time.monotonic() < end:
            waiting = [one for one in door.api("/api/v1/approvals", dana).json()["approvals"] if one["purpose"] == "OPS-9"]
        assert vote(door, dana, waiting[0]["id"]).status_code == 200
        assert asking.result(20).status_code == 200


def test_a_token_that_proves_nothing_is_told_so_as_clients_expect_it(door: LiveGateway) -> None:
    with door.http("gbt_nothing") as client:
        answer = client.get("/billing/customers")
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_an_unknown_target_and_a_forbidden_one_are_told_alike(door: LiveGateway) -> None:
    with door.http() as client:
        unknown = client.get("/nothing/")
        other = client.get("/shop/")
    assert unknown.status_code == other.status_code == 403
    assert unknown.json()["rule"] == other.json()["rule"]


def test_the_sessions_of_one_agent_are_one_session(door: LiveGateway) -> None:
    token = door.gateway_token()
    for _ in range(3):
        with door.http(token) as client:
            assert client.get("/billing/customers/1").status_code == 200
    (session,) = door.sessions()
    assert session["target"] == "billing"


def test_events_arrive_as_they_happen(door: LiveGateway) -> None:
    with door.http() as client, client.stream("GET", "/billing/events?n=4") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        times, lines = [], []
        for line in answer.iter_lines():
            lines.append(line)
            if line.startswith("data:"):
                times.append(time.monotonic())
    assert len(times) == 4
    assert times[-1] - times[0] > 0.1
    assert "ada.brown@example.com" not in "\n".join(lines)


def test_a_target_that_is_gone_is_told_and_the_gateway_goes_on(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi, tmp_path: Path
) -> None:
    gone = billing.target(name="gone", origins=["http://127.0.0.1:9"])
    gateway = new_gateway(apis=[billing.target(), gone], allows_all=True)
    with gateway.http() as client:
        assert client.get("/gone/").status_code == 502
        assert client.get("/billing/customers/1").status_code == 200
