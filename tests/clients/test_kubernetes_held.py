"""What kubectl asks for and people have to allow: asked about once, whichever way it tries, and done once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clustered import Clustered, cluster_target
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until
from gatebook.config import load
from gatebook.db import engine

pytestmark = pytest.mark.real

RULES = """
@id("streams-need-dba")
@approvers("group:dba")
@reason("people look at what is run")
forbid (principal, action in [Action::"k8s.exec", Action::"k8s.delete"], resource)
unless { context.approved };
"""
TRANSPORTS = {"websocket": "true", "spdy": "false"}
SECONDS = 30.0


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    folder = tmp_path_factory.mktemp("held")
    gateway = LiveGateway(folder / "gateway", world, apis=[cluster_target(cluster)], policies={"ring": RULES}, allows_all=True)
    yield gateway.start()
    assert gateway.stop() == 0, gateway.log
    gateway.verified()


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    cluster.new_pod(namespace)
    return Clustered(door, cluster, namespace, tmp_path)


def dana(prod: Clustered) -> str:
    return prod.gateway.mint(sub="dana", kind="person", groups=["dba"])


def asked(prod: Clustered, state: str = "open") -> list[dict[str, Any]]:
    """What people are asked about this test's namespace."""
    found = prod.gateway.api(f"/api/v1/approvals?state={state}", dana(prod)).json()["approvals"]
    return [one for one in found if prod.namespace in str(one["resources"])]


def vote(prod: Clustered, found: dict[str, Any], verdict: str = "approve") -> None:
    whole = prod.gateway.api(f"/api/v1/approvals/{found['id']}", dana(prod)).json()
    body = {"verdict": verdict, "reason": "seen", "digest": whole["digest"]}
    answer = prod.gateway.send("POST", f"/api/v1/approvals/{found['id']}/vote", dana(prod), body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("first", TRANSPORTS)
def test_an_exec_is_one_approval_by_whichever_way_and_passes_once(prod: Clustered, first: str) -> None:
    argv = ("exec", "p", "--", "echo", "let through")
    told = prod.refused(*argv, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=TRANSPORTS[first])
    assert "people look at what is run" in told
    prod.refused(*argv)
    prod.refused(*argv, KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false")
    (one,) = asked(prod)
    assert one["id"] in told
    vote(prod, one)
    assert prod.kubectl(*argv, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=TRANSPORTS[first]) == "let through\n"
    for transport in TRANSPORTS.values():
        prod.refused(*argv, KUBECTL_REMOTE_COMMAND_WEBSOCKETS=transport)
    (again,) = asked(prod)
    assert again["id"] != one["id"]


def test_a_yes_to_one_command_is_none_to_another(prod: Clustered) -> None:
    argv = ("exec", "p", "--", "echo", "one")
    prod.refused(*argv)
    vote(prod, asked(prod)[0])
    prod.refused("exec", "p", "--", "echo", "two")
    prod.refused("exec", "-i", "p", "--", "echo", "one")
    assert len(asked(prod)) == 2
    prod.refused(*argv, token=prod.gateway.mint(sub="agent-8"))
    assert prod.kubectl(*argv) == "one\n"


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_who_waits_for_people_hears_their_word_and_asks_them_once(prod: Clustered, verdict: str) -> None:
    environment = prod.cluster.environment(prod.kubeconfig(options="+hold=wait"))
    argv = [str(PROGRAMS / "kubectl"), "exec", "p", "--", "echo", "let through"]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert wait_until(lambda: bool(asked(prod)), SECONDS)
        vote(prod, asked(prod)[0], verdict)
        printed, complaint = process.communicate(timeout=SECONDS)
    if verdict == "approve":
        assert (process.returncode, printed) == (0, "let through\n")
    else:
        assert process.returncode != 0
        assert "denied by dana: seen" in complaint
    assert not asked(prod)
    assert len(asked(prod, "denied" if verdict == "deny" else "used")) == 1


@pytest.mark.parametrize("option", ["", "+hold=wait"])
def test_the_same_of_several_at_one_instant_is_one_approval_and_done_once(prod: Clustered, option: str) -> None:
    environment = prod.cluster.environment(prod.kubeconfig(options=option))
    argv = [str(PROGRAMS / "kubectl"), "exec", "p", "--", "echo", "let through"]
    with ExitStack() as stack:
        run = partial(subprocess.Popen, argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        several = [stack.enter_context(run()) for _ in range(3)]
        if option:
            assert wait_until(lambda: [each["askers"] for each in kept(prod)] == [3], SECONDS), kept(prod)
            vote(prod, asked(prod)[0])
        printed = [process.communicate(timeout=SECONDS) for process in several]
    if option:
        assert sorted(out for out, _ in printed) == ["", "", "let through\n"]
        assert not asked(prod)
        return
    (one,) = asked(prod)
    assert all(one["id"] in complaint for _, complaint in printed)


def kept(prod: Clustered) -> list[dict[str, Any]]:
    """How many clients ask for each of what is open."""
    with engine(load(prod.gateway.config).database_url).connect() as connection:
        query = "SELECT id, askers FROM approvals WHERE state = 'open' AND resources LIKE ?"
        return [dict(row) for row in connection.exec_driver_sql(query, (f"%{prod.namespace}%",)).mappings()]


def test_a_held_delete_is_done_after_the_yes(prod: Clustered) -> None:
    told = prod.refused("delete", "pod", "p", "--wait=false")
    assert "Error from server (Forbidden)" in told
    assert re.search(r"https://\S+/approvals/" + asked(prod)[0]["id"], told)
    prod.refused("delete", "pod", "p", "--wait=false")
    (one,) = asked(prod)
    vote(prod, one)
    assert "deleted" in prod.kubectl("delete", "pod", "p", "--wait=false")
    assert not asked(prod)
