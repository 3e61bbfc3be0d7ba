"""What goes on for long: jobs and informers over the end of their tokens, and clients that stop reading."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, watch
from kubernetes.config import new_client_from_config
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway, World, clean_environment

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

SECONDS = 60.0
COMMAND = Path(sys.executable).parent / "gatebook"
LIVES = 20  # seconds that a token lives which ends within a test


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("long"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


def config(prod: Clustered, name: str, size: int = 10) -> None:
    body = {"metadata": {"name": name}, "data": {"content": "x" * size}}
    prod.cluster.call("POST", f"/api/v1/namespaces/{prod.namespace}/configmaps", body)


def ending(prod: Clustered, seconds: int = LIVES) -> str:
    return prod.gateway.mint(exp=int(time.time()) + seconds)


def provided(prod: Clustered, token: str) -> Path:
    """The provider's token as a CI system leaves it for a job, replaced whole."""
    file, fresh = prod.folder / "oidc-token", prod.folder / "oidc-token.new"
    fresh.write_text(token)
    fresh.chmod(0o600)
    fresh.rename(file)
    return file


def of_a_job(prod: Clustered, *argv: str) -> subprocess.CompletedProcess[str]:
    """The gatebook command where there is nothing but the provider's token."""
    api = ("--url", f"https://127.0.0.1:{prod.gateway.api_port}", "--ca", str(prod.gateway.world.authority.path))
    came = ("--from", str(prod.folder / "oidc-token"))
    at = argv.index("--") if "--" in argv else len(argv)
    command = [str(COMMAND), *argv[:at], *api, *came, *argv[at:]]
    environment = {**clean_environment(), "PATH": f"{PROGRAMS}:{COMMAND.parent}:/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)


@pytest.fixture
def job(prod: Clustered) -> Path:
    """The kubeconfig of a job whose token ends soon."""
    provided(prod, ending(prod))
    file = prod.folder / "job.kubeconfig"
    done = of_a_job(prod, "kubeconfig", "prod", "--namespace", prod.namespace, "--file", str(file))
    assert done.returncode == 0, done.stderr
    assert "token:" not in file.read_text()
    asks = yaml.safe_load(file.read_text())["users"][0]["user"]["exec"]
    asks["command"] = str(COMMAND)
    written = yaml.safe_load(file.read_text())
    written["users"][0]["user"]["exec"] = asks
    file.write_text(yaml.safe_dump(written))
    return file


@contextmanager
def watching(prod: Clustered, kubeconfig: Path) -> Iterator[list[dict[str, Any]]]:
    """What an informer of client-go has seen so far."""
    argv = [str(PROGRAMS / "testbed"), "watch", "--namespace", prod.namespace, "--count", "999", "--limit", "120s"]
    seen: list[dict[str, Any]] = []
    environment = prod.cluster.environment(kubeconfig)
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        reads = threading.Thread(target=lambda out: seen.extend(map(json.loads, out)), args=(process.stdout,))
        reads.start()
        try:
            yield seen
        finally:
            process.terminate()
            reads.join(SECONDS)


def names(seen: list[dict[str, Any]]) -> set[str]:
    return {one["name"] for one in seen if "name" in one}


def test_a_job_and_its_informer_go_on_over_the_end_of_a_token(prod: Clustered, job: Path) -> None:
    config(prod, "first")
    done = prod.cluster.run("kubectl", "get", "configmaps", "-o", "name", kubeconfig=job, check=False)
    assert "configmap/first" in done.stdout, done.stderr
    with watching(prod, job) as seen:
        assert wait_until(lambda: "first" in names(seen), SECONDS)
        before = {one["id"] for one in prod.gateway.sessions()}
        assert wait_until(lambda: ended(prod), SECONDS), "the session of the first token ends with it"
        provided(prod, ending(prod, 600))
        config(prod, "second")
        assert wait_until(lambda: "second" in names(seen), SECONDS), prod.gateway.log[-3000:]
        assert {one["id"] for one in prod.gateway.sessions()} - before, "the informer came back by a session of its own"
    done = prod.cluster.run("kubectl", "get", "configmaps", "-o", "name", kubeconfig=job, check=False)
    assert "configmap/second" in done.stdout, done.stderr


def ended(prod: Clustered) -> bool:
    return not prod.gateway.sessions()[0]["live"]


@pytest.mark.parametrize("end", ["its token is over", "it is killed"])
def test_a_watch_ends_with_its_token_by_itself_and_else_says_why(prod: Clustered, end: str) -> None:
    config(prod, "first")
    where, killed = f"/api/v1/namespaces/{prod.namespace}/configmaps", end == "it is killed"
    events: list[dict[str, Any]] = []
    with (
        prod.http(ending(prod, 600 if killed else LIVES)) as client,
        client.stream("GET", where, params={"watch": "true"}, timeout=SECONDS) as answer,
    ):
        for line in answer.iter_lines():  # one that is cut raises
            events.append(json.loads(line))
            if killed and events[-1]["object"]["metadata"].get("name") == "first":
                session = prod.gateway.sessions("--live")[0]["id"]
                assert prod.gateway.gatebook("sessions", "kill", session, "--reason", "leaking").status == 0
    *_, last = events
    assert any(one["type"] == "ADDED" and one["object"]["metadata"]["name"] == "first" for one in events)
    assert (last["type"] == "ERROR") is killed
    if killed:
        assert (last["object"]["kind"], last["object"]["status"]) == ("Status", "Failure")
        assert "leaking" in last["object"]["message"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves connections to the collector
def test_the_python_clients_watch_goes_on_where_it_was_with_the_plugins_next_token(prod: Clustered, job: Path) -> None:
    seen: list[tuple[str, str]] = []
    provided(prod, ending(prod, LIVES + 8))  # the plugin runs for each request, as the token ends soon
    with new_client_from_config(str(job)) as api:
        watcher = watch.Watch()

        def follow() -> None:
            for event in watcher.stream(client.CoreV1Api(api).list_namespaced_config_map, prod.namespace):
                seen.append((event["type"], event["object"].metadata.name))
                if seen[-1][1] == "last":
                    watcher.stop()

        config(prod, "first")
        follows = threading.Thread(target=follow)
        follows.start()
        assert wait_until(lambda: ("ADDED", "first") in seen, SECONDS)
        config(prod, "later")  # what is there comes by its name, and the client goes on behind the last that came
        assert wait_until(lambda: ("ADDED", "later") in seen, SECONDS)
        before = {one["id"] for one in prod.gateway.sessions()}
        provided(prod, ending(prod, 600))
        number = 0
        while not wait_until(lambda: {one["id"] for one in prod.gateway.sessions()} != before, 0.2) and number < 300:
            number += 1
            config(prod, f"on-the-way-{number}")
        assert number < 300, "the watch came back by a session of its own"
        config(prod, "last")
        follows.join(SECONDS)
    made = [("ADDED", f"on-the-way-{each}") for each in range(1, number + 1)]
    assert [one for one in seen if "on-the-way" in one[1]] == made, "each once, none lost, in order"
    assert seen.count(("ADDED", "first")) == 1, "it went on where it was"
    assert seen[-1] == ("ADDED", "last")


def test_a_watch_that_is_never_read_harms_nobody(prod: Clustered) -> None:
    context = ssl.create_default_context(cafile=str(prod.gateway.world.authority.path))
    token = prod.gateway.mint(sub="agent-9", groups=["agents"], exp=int(time.time()) + 40)
    prod.cluster.allow("gatebook:agent-9", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])
    with (
        socket.create_connection(("127.0.0.1", prod.gateway.http_port), timeout=SECONDS) as tcp,
        context.wrap_socket(tcp, server_hostname="127.0.0.1") as peer,
    ):
        tcp_buffer = 4096
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, tcp_buffer)
        path = f"/k8s/prod/api/v1/namespaces/{prod.namespace}/configmaps?watch=true"
        peer.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
        assert wait_until(lambda: any(one["subject"] == "agent-9" for one in prod.gateway.sessions()), SECONDS)
        before = prod.gateway.memory_kilobytes
        for number in range(60):
            config(prod, f"large-{number}", 500_000)
            if number % 20 == 0:
                assert "large-0" in prod.kubectl("get", "configmap", "large-0", "-o", "name")
        grown = prod.gateway.memory_kilobytes - before
        assert grown < 24_000, f"30 MB that nobody reads took {grown} KB"
        assert wait_until(lambda: "agent-9" not in open_sessions(prod), SECONDS), "it ends with its token, read or not"


def open_sessions(prod: Clustered) -> set[str]:
    return {one["subject"] for one in prod.gateway.sessions("--live")}


def test_connect_runs_kubectl_or_a_shell_that_leads_there(prod: Clustered) -> None:
    config(prod, "first")
    provided(prod, ending(prod, 600))
    done = of_a_job(prod, "connect", f"prod/{prod.namespace}", "--", "get", "configmaps", "-o", "name")
    assert "configmap/first" in done.stdout, done.stderr
    done = of_a_job(prod, "connect", "prod", "--", "get", "nothing-like-it")
    assert done.returncode == 1
    argv = (
        "connect",
        f"prod/{prod.namespace}",
        "--client",
        "sh",
        "--",
        "-c",
        "kubectl get cm -o name && kubectl get cm -o name",
    )
    assert of_a_job(prod, *argv).stdout.count("configmap/first") == 2


def test_clusters_are_listed_with_their_address(prod: Clustered) -> None:
    (one,) = prod.gateway.api("/api/v1/targets", prod.gateway.mint()).json()["targets"][-1:]
    assert one["protocol"] == "kubernetes"
    assert one["url"].endswith(f":{prod.gateway.http_port}/k8s/prod")
