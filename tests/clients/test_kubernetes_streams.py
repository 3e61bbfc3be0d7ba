"""kubectl's streams through a gateway to a real cluster: covered as they come, recorded as they passed, ended with a reason."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

TRANSPORTS = {
    "websocket": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"},
    "spdy": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"},
}
EMAIL, HIDDEN = "ada.brown@example.com", "*********@example.com"
WEB = "import http.server as h, os; h.HTTPServer((os.environ['POD_IP'], 8080), h.SimpleHTTPRequestHandler).serve_forever()"
BEST_SECONDS = 20.0


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("streams"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


def replayed(prod: Clustered, *options: str) -> str:
    """The replay of the latest session; each takes a process of its own, so that tests ask seldom."""
    answer = prod.gateway.replay("replay", prod.gateway.sessions()[0]["id"], *options)
    return str(answer.output)


def pieces(prod: Clustered, last: str) -> list[dict[str, Any]]:
    """What the latest session's streams carried, once they have carried ``last``."""
    found: list[dict[str, Any]] = []

    def came() -> bool:
        lines = [line for line in replayed(prod, "--json").splitlines() if line.startswith("{")]
        found[:] = [line["d"] for line in map(json.loads, lines) if line["k"] == "p"]
        return any(last in one["text"] for one in found)

    assert wait_until(came, BEST_SECONDS), found
    return found


def carried(found: list[dict[str, Any]], form: str) -> str:
    return "".join(one["text"] for one in found if one["form"] == form)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_command_is_covered_and_recorded_stream_by_stream(prod: Clustered, transport: str) -> None:
    prod.cluster.new_pod(prod.namespace)
    said = f"echo mail {EMAIL}; echo oops >&2; cat; exit 7"
    done = prod.run("kubectl", "exec", "-i", "p", "--", "sh", "-c", said, stdin="fed\n", **TRANSPORTS[transport])
    assert (done.returncode, done.stdout) == (7, f"mail {HIDDEN}\nfed\n")
    assert "oops" in done.stderr
    found = pieces(prod, "exit status 7")
    assert carried(found, "stdout") == f"mail {HIDDEN}\nfed\n"
    assert (carried(found, "stderr"), carried(found, "stdin")) == ("oops\n", "fed\n")
    assert EMAIL not in json.dumps(found)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_copies_keep_their_size_and_ports_are_forwarded(prod: Clustered, tmp_path: Path, transport: str) -> None:
    pod, way = prod.cluster.new_pod(prod.namespace, command=["python3", "-c", WEB]), TRANSPORTS[transport]
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(os.urandom(1_000_000) + f"\nmail {EMAIL}\n".encode())
    prod.kubectl("cp", str(up), f"{pod}:file", **way)
    prod.kubectl("cp", f"{pod}:file", str(down), **way)
    assert down.stat().st_size == up.stat().st_size
    assert down.read_bytes().endswith(f"\nmail {HIDDEN}\n".encode())
    argv = [str(PROGRAMS / "kubectl"), "port-forward", pod, ":8080"]
    with subprocess.Popen(
        argv, env=prod.cluster.environment(prod.kubeconfig(), **way), stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        port = run.stdout.readline().split("->")[0].rpartition(":")[2].strip()
        done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=20)
        run.terminate()
    assert ">file</a>" in done.stdout
    assert "to port 8080" in carried(pieces(prod, "bytes received"), "stream")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_terminal_is_recorded_without_what_was_typed_unseen(prod: Clustered, transport: str) -> None:
    pod = prod.cluster.new_pod(prod.namespace)
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "111"], stdin=theirs, check=True)
    asks = "stty -echo; printf 'Password: '; read -r p; stty echo; echo; echo got ${#p}"
    argv = [
        str(PROGRAMS / "kubectl"),
        "exec",
        "-it",
        pod,
        "--",
        "sh",
        "-c",
        f"sleep 0.5; stty size; {asks}; printf '> '; read -r l",
    ]
    env = prod.cluster.environment(prod.kubeconfig(), **TRANSPORTS[transport])
    shown = b""

    def until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 4096)

    with subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        until(b"Password: ")
        os.write(ours, b"correct-horse\r")
        until(b"got 13\r\n> ")
        os.write(ours, b"echo me\r")
        assert run.wait(BEST_SECONDS) == 0
    os.close(ours)
    found = pieces(prod, "exit status 0")
    assert "correct-horse" not in json.dumps(found)
    assert carried(found, "stdin") == "echo me\r"
    assert "14 bytes of input that are not recorded" in carried(found, "stream")
    assert "the terminal is 111x33" in carried(found, "stream")
    seq = next(one["seq"] for one in found if one["form"] == "stdout")
    first, *rest = [json.loads(line) for line in replayed(prod, "--cast", str(seq)).splitlines() if line[:1] in ("[", "{")]
    assert (first["version"], first["width"], first["height"]) == (2, 111, 33)
    assert "Password: \r\ngot 13\r\n> echo me\r\n" in "".join(one[2] for one in rest if one[1] == "o")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_hears_why_its_command_is_ended(prod: Clustered, transport: str) -> None:
    prod.cluster.new_pod(prod.namespace)
    argv = [str(PROGRAMS / "kubectl"), "exec", "p", "--", "sh", "-c", "echo begun; sleep 60"]
    env = prod.cluster.environment(prod.kubeconfig(), **TRANSPORTS[transport])
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        session = prod.gateway.sessions()[0]["id"]
        killed = prod.gateway.gatebook("sessions", "kill", session, "--reason", "lunch is ready")
        assert killed.status == 0, killed.output
        _, complaint = run.communicate(timeout=BEST_SECONDS)
    assert run.returncode != 0
    assert "lunch is ready" in complaint
