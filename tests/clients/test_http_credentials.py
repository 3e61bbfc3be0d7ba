"""When the gateway takes what it shows to a target, by real processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.testbed.apis import API_KEY, BillingApi
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

RULES = """
@id("read-apis")
permit (principal in Group::"agents", action in [Action::"read", Action::"write"], resource);
@id("writes-wait")
@approvers("group:dba")
forbid (principal, action in [Action::"write"], resource) unless { context.approved };
@id("no-deletes")
forbid (principal, action == Action::"http.delete", resource);
"""


class Issuer(ThreadingHTTPServer):
    """A token endpoint that counts how often it is asked."""

    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_POST(self) -> None:
        self.server.asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        said = json.dumps({"access_token": f"fetched-{self.server.asked}", "token_type": "bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    server = Issuer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


def test_a_token_is_fetched_only_for_what_may_go(
    new_gateway: Callable[..., LiveGateway], billing: BillingApi, issuer: Issuer, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("client-secret-8123")
    secret.chmod(0o600)
    token_url = f"http://127.0.0.1:{issuer.server_address[1]}/token"
    oauth = {"token_url": token_url, "client_id": "gate", "client_secret": f"file:{secret}"}
    gateway = new_gateway(apis=[billing.target(roles={"agent": {"oauth": oauth}})], policies={"http": RULES})
    dana = gateway.mint(sub="dana", kind="person", groups=["dba"])
    with gateway.http() as client:
        assert client.delete("/billing/customers/1").json()["rule"] == "no-deletes"
        held = client.put("/billing/iam/users/ada/roles", json={"roles": ["a"]})
        assert held.json()["class"] == "wait"
        assert issuer.asked == 0
        approval = held.json()["approval"]
        voted = gateway.send("POST", f"/api/v1/approvals/{approval}/vote", dana, {"verdict": "approve", "reason": "OPS-7"})
        assert voted.status_code == 200
        assert client.put("/billing/iam/users/ada/roles", json={"roles": ["a"]}).status_code == 401, "not this API's key"
        assert issuer.asked == 1
        for _ in range(5):
            assert client.get("/billing/customers/1").status_code == 401
        assert issuer.asked == 2, "a token that was not taken is fetched anew once"
    assert API_KEY not in gateway.log
