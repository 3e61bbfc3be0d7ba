"""docs/kubernetes.md, done step by step as it stands there."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tests.testbed.clustered import cluster_target
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.clients import Answer, run
from gatebook.cli.demo.processes import wait_until
from gatebook.cli.demo.world import gatebook_command

pytestmark = pytest.mark.real

PAGE = (Path(__file__).parents[2] / "docs/kubernetes.md").read_text()
MANIFEST, TARGETS, *_ = re.findall(r"^```ya?ml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0].splitlines()
PASSWORD = "correct horse battery"
HELD = """
@id("deletions-wait") @approvers("group:dba") @reason("people look at what goes")
forbid (principal, action == Action::"k8s.delete", resource) unless { context.approved };
"""


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], cluster: Cluster, tmp_path: Path) -> Iterator[LiveGateway]:
    """A gateway as the page says; only the server's address, and where its authority and token lie, are this machine's."""
    cluster.run("kubectl", "apply", "-f", "-", stdin=MANIFEST)
    token = tmp_path / "prod.token"
    token.write_text(cluster.kubectl("create", "token", "gatebook", "--namespace", "kube-system"))
    token.chmod(0o600)
    (target,) = yaml.safe_load(TARGETS)["targets"]
    target |= {"servers": [cluster.url], "tls": {"ca": str(cluster.ca)}}
    target["roles"]["gateway"]["bearer"] = f"file:{token}"
    yield new_gateway(apis=[target])
    cluster.run("kubectl", "delete", "-f", "-", "--wait=false", stdin=MANIFEST)  # others have the same groups


@pytest.fixture
def shop(cluster: Cluster) -> str:
    made = cluster.run("kubectl", "create", "namespace", "shop", check=False)
    assert made.returncode == 0 or "already exists" in made.stderr
    cluster.run("kubectl", "-n", "shop", "delete", "secret", "database", "--ignore-not-found")
    return cluster.secret("shop", "database", password=PASSWORD)


def typed(door: LiveGateway, home: Path, provided: str, line: str) -> Answer:
    """A line of the page in a shell of a CI job, which has its provider's token and nothing else."""
    own = {
        "HOME": str(home), "PATH": f"{PROGRAMS}:{Path(gatebook_command()[0]).parent}:/usr/bin:/bin",
        "GATEBOOK_URL": f"https://127.0.0.1:{door.api_port}", "GATEBOOK_CA": str(door.world.authority.path),
        "GATEBOOK_PROVIDER_TOKEN": provided,
    }  # fmt: skip
    return run(["sh", "-c", line], own)


@pytest.mark.usefixtures("shop")
def test_an_agent_has_kubectl_as_the_page_says(door: LiveGateway, cluster: Cluster, tmp_path: Path) -> None:
    assert [line.split()[0] for line in COMMANDS] == ["gatebook", "kubectl", "kubectl"]
    provided = door.mint()
    made, listed, read = (typed(door, tmp_path, provided, line) for line in COMMANDS)
    assert made.status == 0, made.output
    assert listed.status == 0, listed.output
    assert read.status == 0, read.output
    assert b64decode(read.output.split()[-1]).startswith(b"gbk_")
    assert (tmp_path / ".kube/config").stat().st_mode & 0o077 == 0
    (kept,) = (tmp_path / ".cache/gatebook/tokens").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert len(door.sessions("--target", "prod")) == 1, "the commands of one token are one session"


def there(cluster: Cluster) -> bool:
    return "database" in cluster.kubectl("-n", "shop", "get", "secrets", "-o", "name")


@pytest.mark.usefixtures("shop")
def test_role_purpose_and_hold_of_a_kubeconfig_reach_the_gateway_as_the_page_says(
    cluster: Cluster, tmp_path: Path, new_gateway: Callable[..., LiveGateway]
) -> None:
    (line,) = re.findall(r"`(gatebook kubeconfig prod --role .*)`", PAGE)
    target = cluster_target(cluster)
    target["roles"]["deployer"] = target["roles"]["gateway"]
    door = new_gateway(apis=[target], allows_all=True, policies={"held": HELD})
    provided, dana = door.mint(), door.mint(sub="dana", kind="person", groups=["dba"])
    made = typed(door, tmp_path, provided, f"{line} --namespace shop --file ~/.kube/config")
    assert made.status == 0, made.output
    with ThreadPoolExecutor(1) as pool:
        deleted = pool.submit(typed, door, tmp_path, provided, "kubectl delete secret database --wait=false")
        assert wait_until(lambda: bool(door.api("/api/v1/approvals?state=open", dana).json()["approvals"]), 60)
        (asked,) = door.api("/api/v1/approvals?state=open", dana).json()["approvals"]
        assert (asked["purpose"], asked["role"]) == ("OPS-7", "deployer")
        assert there(cluster)
        word = {"verdict": "approve", "reason": "seen"}
        assert door.send("POST", f"/api/v1/approvals/{asked['id']}/vote", dana, word).status_code == 200
        assert deleted.result(60).status == 0, deleted.result().output
    assert not there(cluster)


def test_the_page_says_which_credentials_the_gateway_has(cluster: Cluster) -> None:
    rules = next(one["rules"] for one in yaml.safe_load_all(MANIFEST) if one["kind"] == "ClusterRole")
    assert {verb for rule in rules for verb in rule["verbs"]} == {"impersonate"}
