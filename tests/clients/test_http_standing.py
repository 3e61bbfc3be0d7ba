"""What a client's session stands on: who it may be to the target, what its requests mean, and a grant that may end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.clients.test_http_basics import RULES, vote
from tests.testbed.apis import BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


def test_a_client_says_which_of_the_targets_roles_it_wants_and_the_target_hears_nothing_of_it(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi
) -> None:
    roles = billing.target()["roles"] | {"clerk": {"bearer": f"file:{billing.key}"}}
    door = new_gateway(apis=[billing.target(roles=roles)], policies={"http": RULES})
    before = len(billing.seen())
    with door.http() as client:
        client.get("/billing/customers/1", headers={"Gatebook-Role": "clerk", "Gatebook-Why": "OPS-7"})
        assert client.get("/billing/customers/1").status_code == 200
        unknown = client.get("/billing/customers/1", headers={"Gatebook-Role": "owner"})
    as_clerk, as_agent = (one["fields"] for one in billing.seen()[before:])
    assert as_clerk["authorization"].startswith("Bearer billing-key")
    assert "authorization" not in as_agent
    assert not [name for name in as_clerk if name in ("gatebook-role", "gatebook-why")]
    assert unknown.status_code == 403
    assert {(one["role"], one["purpose"]) for one in door.sessions()} == {("clerk", "OPS-7"), ("agent", "")}


def test_a_yes_is_void_once_the_configuration_says_that_requests_mean_something_else(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi
) -> None:
    door = new_gateway(apis=[billing.target()], policies={"http": RULES})
    token, dana = door.mint(), door.mint(sub="dana", kind="person", groups=["dba"])
    path, body = "/billing/iam/users/ada/roles", {"roles": ["billing-admin"]}
    with door.http(token) as client:
        held = client.put(path, json=body).json()
    assert vote(door, dana, held["approval"]).status_code == 200
    door.stop()
    door.apis = [billing.target(facts=[{"name": "role", "path": "$.roles[*]"}])]
    door.start()
    before = len(billing.seen())
    with door.http(token) as client:
        again = client.put(path, json=body)
    assert (again.status_code, again.json()["class"]) == (403, "wait")
    assert again.json()["approval"] != held["approval"]
    assert billing.seen()[before:] == []


def test_a_grant_that_is_taken_back_ends_what_is_under_way(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi
) -> None:
    door = new_gateway(apis=[billing.target()])
    job, dana = (door.mint(sub="nightly", kind="ci", groups=["jobs"]), door.mint(sub="dana", kind="person", groups=["dba"]))
    with door.http(job) as client:
        assert client.get("/billing/customers/1").status_code == 403
    wish = {"targets": ["billing"], "reach": "read", "seconds": 600, "reason": "month-end report"}
    assert door.send("POST", "/api/v1/grants", job, wish).status_code in (201, 202)
    (asked,) = door.api("/api/v1/approvals?state=open", dana).json()["approvals"]
    assert vote(door, dana, asked["id"]).status_code == 200
    (grant,) = door.api("/api/v1/grants", job).json()["grants"]
    with door.http(job) as client:
        assert client.get("/billing/customers/1").status_code == 200
        with client.stream("GET", "/billing/events?n=100000") as answer:
            lines = answer.iter_lines()
            assert next(lines)
            assert door.send("DELETE", f"/api/v1/grants/{grant['id']}?reason=done", dana, {}).status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):  # it does not look whole
                list(lines)
        assert wait_until(lambda: client.get("/billing/customers/1").status_code == 403, 10)
    assert not [one for one in door.sessions() if one["live"]]
