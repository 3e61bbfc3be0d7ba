"""``gatebook connect`` on an HTTP target: real curl, a gateway that runs, and a token that nobody else on the machine sees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients.test_http_basics import RULES
from tests.testbed.apis import BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.world import clean_environment, gatebook_command

pytestmark = pytest.mark.real

SPY = """#!/bin/sh
tr '\\0' '\\n' < /proc/$$/cmdline > {seen}
tr '\\0' '\\n' < /proc/$$/environ >> {seen}
exec {curl} "$@"
"""


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path_factory.mktemp("billing"))
    yield api
    api.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi) -> LiveGateway:
    return new_gateway(apis=[billing.target()], policies={"http": RULES})


def connect(door: LiveGateway, token: str, *arguments: str, **more: str) -> Answer:
    settings = clean_environment() | {
        "GATEBOOK_URL": f"https://127.0.0.1:{door.api_port}",
        "GATEBOOK_CA": str(door.world.authority.path),
        "GATEBOOK_TOKEN": token,
    }
    return run([*gatebook_command(), "connect", *arguments], settings | more)


def test_curl_runs_on_the_target_with_identity_in_place(door: LiveGateway) -> None:
    token = door.gateway_token()
    got = connect(door, token, "billing/customers/1", "--why", "OPS-7", "--", "--silent")
    assert got.status == 0, got.output
    assert json.loads(got.output)["name"] == "Ada Brown"
    other = connect(door, token, "billing", "--", "curl", "-s", "-X", "DELETE", "-w", "%{http_code}", "/customers/1")
    assert other.output.endswith("403")
    assert "no-deletes" in other.output
    assert [one["purpose"] for one in door.sessions("--target", "billing")] == ["", "OPS-7"]


def test_the_token_is_in_no_argument_and_no_environment_of_curl(door: LiveGateway, tmp_path: Path) -> None:
    token, seen, spy = door.gateway_token(), tmp_path / "seen", tmp_path / "curl"
    spy.write_text(SPY.format(seen=seen, curl=shutil.which("curl")))
    spy.chmod(0o755)
    (tmp_path / ".curlrc").write_text('proxy = "http://127.0.0.1:9"\ninsecure\n')
    got = connect(door, token, "billing/customers/1", "--client", str(spy), "--", "-sS", HOME=str(tmp_path))
    assert got.status == 0, got.output
    assert json.loads(got.output)["name"] == "Ada Brown"
    told = seen.read_text()
    assert "/dev/fd/" in told
    assert token not in told
    assert token[4:20] not in told


def test_a_path_with_dots_and_brackets_is_sent_as_it_is(door: LiveGateway, billing: BillingApi) -> None:
    before = len(billing.seen())
    got = connect(door, door.gateway_token(), "billing/../shop/{a,b}[1-3]", "--", "-s", "-w", "%{http_code}")
    assert got.status == 0, got.output
    assert got.output[-3:] in ("400", "403"), got.output
    assert billing.seen()[before:] == []


def test_what_is_for_scripts_is_not_for_apis_and_the_door_is_listed(door: LiveGateway) -> None:
    token = door.gateway_token()
    refused = connect(door, token, "billing", "--file", "x.sql")
    assert refused.status == 2
    assert "--file is for scripts of SQL" in refused.output
    listed = {one["name"]: one for one in door.api("/api/v1/targets", token).json()["targets"]}
    assert listed["billing"]["url"].endswith(f":{door.http_port}/http/billing")
    assert listed["billing"]["own_url"] == f"https://billing.targets.localhost:{door.http_port}"
    assert "url" not in listed["shop"]
