"""docs/http.md, done step by step as it stands there."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.testbed.apis import BillingApi
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.clients import Answer, run

pytestmark = pytest.mark.real

PAGE = (Path(__file__).parents[2] / "docs/http.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]
CALLS = [line for line in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0].splitlines() if line]


@pytest.fixture
def billing(tmp_path: Path) -> Iterator[BillingApi]:
    api = BillingApi(tmp_path)
    yield api
    api.stop()


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], billing: BillingApi) -> LiveGateway:
    """A gateway as the page says; only the origin, the key's place and the ports are this machine's."""
    (target,) = next(one["targets"] for one in BLOCKS if "targets" in one)
    listener = next(one["listeners"]["http"] for one in BLOCKS if "listeners" in one)
    key = {"agent": {"header": {**target["roles"]["agent"]["header"], "value": f"file:{billing.key}"}}}
    sets = next(one["masking"] for one in BLOCKS if "masking" in one)
    api = target | {"origins": [billing.origin], "roles": key}
    return new_gateway(apis=[api], allows_all=True, domain=listener["domain"], more={"masking": sets | {"detectors": "all"}})


def typed(door: LiveGateway, line: str, home: Path) -> Answer:
    """A line of the page in a shell, where its hosts are this gateway and ``gatebook token`` gives a token."""
    place = f"127.0.0.1:{door.http_port}"
    hosts = ("gateway.example.org", "billing.targets.example.org")
    told = [f'connect-to = "{host}:16443:{place}"' for host in hosts]
    (home / ".curlrc").write_text("\n".join(["insecure", "silent", "show-error", *told, ""]))
    program = home / "gatebook"
    program.write_text(f'#!/bin/sh\n[ "$1" = token ] && echo {door.gateway_token()}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return run(["sh", "-c", line], {"HOME": str(home), "PATH": f"{home}:/usr/bin:/bin"})


@pytest.mark.parametrize("line", CALLS)
def test_the_calls_of_the_page_get_customers_covered(door: LiveGateway, tmp_path: Path, line: str) -> None:
    found = typed(door, line, tmp_path)
    customers = json.loads(found.output)["customers"]
    assert customers[0]["name"] == "Ada Brown"
    assert customers[0]["ssn"] == "***-**-8726"
    assert customers[0]["card"] == "************1111"
    assert "ada.brown@example.com" not in found.output
