"""The codecs of streams between the real kubectl and a real API server, by either transport."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protocols.http.covering.stage import DETECTORS
from tests.protocols.kubernetes.between import Proxy, between
from tests.protocols.kubernetes.streams import EMAIL, HIDDEN_EMAIL
from tests.testbed.clusters import PROGRAMS, Cluster

from gatebook.cli.demo.processes import wait_until
from gatebook.protocols.terminals import Kind

pytestmark = pytest.mark.real

TRANSPORTS = {
    "websocket": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"},
    "spdy": {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"},
}
WEB = "import http.server as h, os; h.HTTPServer((os.environ['POD_IP'], 8080), h.SimpleHTTPRequestHandler).serve_forever()"
BEST_SECONDS = 20.0


@pytest.fixture
def proxy(cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    with between(cluster.url, cluster.ca, tmp_path / "proxy", DETECTORS) as made:
        yield made


@pytest.fixture
def through(cluster: Cluster, namespace: str, proxy: Proxy, tmp_path: Path) -> Path:
    """A kubeconfig whose server is the proxy."""
    token = cluster.service_account(namespace, "agent", "admin")
    return cluster.write_kubeconfig(tmp_path / "through", {"token": token}, server=proxy.url, ca=proxy.ca, namespace=namespace)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_commands_run_with_their_output_covered(
    cluster: Cluster, namespace: str, through: Path, proxy: Proxy, transport: str
) -> None:
    pod, way = cluster.new_pod(namespace), TRANSPORTS[transport]
    said = f"echo mail {EMAIL.decode()}; echo oops >&2; cat; exit 7"
    done = cluster.run(
        "kubectl", "exec", "-i", pod, "--", "sh", "-c", said, stdin="fed\n", kubeconfig=through, check=False, **way
    )
    assert done.returncode == 7
    assert done.stdout == f"mail {HIDDEN_EMAIL.decode()}\nfed\n"
    assert "oops" in done.stderr
    assert wait_until(lambda: bool(proxy.seen) and bool(proxy.seen[-1].told(Kind.STATUS)), BEST_SECONDS)
    seen = proxy.seen[-1]
    assert ("spdy" in seen.protocol) is (transport == "spdy")
    assert seen.told(Kind.OUTPUT) == f"mail {HIDDEN_EMAIL.decode()}\nfed\n".encode()
    assert (seen.told(Kind.ERRORS), seen.told(Kind.INPUT)) == (b"oops\n", b"fed\n")
    causes = json.loads(seen.told(Kind.STATUS))["details"]["causes"]
    assert causes[0]["message"] == "7"
    assert seen.passage is not None
    assert seen.passage.masked == {"email": 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_copies_go_both_ways_and_ports_are_forwarded(
    cluster: Cluster, namespace: str, through: Path, proxy: Proxy, transport: str, tmp_path: Path
) -> None:
    pod, way = cluster.new_pod(namespace, command=["python3", "-c", WEB]), TRANSPORTS[transport]
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(os.urandom(2_000_000) + b"\nmail " + EMAIL + b"\n")
    cluster.kubectl("cp", str(up), f"{pod}:file", kubeconfig=through, **way)
    cluster.kubectl("cp", f"{pod}:file", str(down), kubeconfig=through, **way)
    assert len(down.read_bytes()) == len(up.read_bytes())
    assert down.read_bytes()[-len(EMAIL) - 7 :] == b"\nmail " + HIDDEN_EMAIL + b"\n"
    argv = [str(PROGRAMS / "kubectl"), "port-forward", pod, ":8080"]
    with subprocess.Popen(argv, env=cluster.environment(through, **way), stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        port = forward.stdout.readline().split("->")[0].rpartition(":")[2].strip()
        for _ in range(3):
            done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=20)
            assert ">file</a>" in done.stdout
        forward.terminate()
    seen = proxy.seen[-1]
    assert [data.split()[1] for kind, data in seen.shown if kind is Kind.OPENED] == [b"8080"] * 3
    assert seen.told(Kind.RECEIVED)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_terminal_echoes_at_once_and_hides_what_is_typed_unseen(
    cluster: Cluster, namespace: str, through: Path, proxy: Proxy, transport: str
) -> None:
    pod = cluster.new_pod(namespace)
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "rows", "33", "cols", "111"], stdin=theirs, check=True)
    asks = "stty -echo; printf 'Password: '; read -r p; stty echo; echo; echo got ${#p}"
    said = f"stty size; {asks}; printf '> '; read -r l; echo $l"
    argv = [str(PROGRAMS / "kubectl"), "exec", "-it", pod, "--", "sh", "-c", f"sleep 0.5; {said}"]
    env = cluster.environment(through, **TRANSPORTS[transport])
    shown = b""

    def until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 4096)

    with subprocess.Popen(argv, env=env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as run:
        os.close(theirs)
        until(b"Password: ")
        os.write(ours, b"correct-horse\r")
        until(b"got 13")
        until(b"> ")
        os.write(ours, b"echo me\r")
        until(b"echo me")
        assert run.wait(20) == 0
    os.close(ours)
    assert b"33 111" in shown
    assert wait_until(lambda: bool(proxy.seen[-1].told(Kind.INPUT)), BEST_SECONDS)
    seen = proxy.seen[-1]
    assert b"111x33" in [data for kind, data in seen.shown if kind is Kind.RESIZE]
    assert seen.told(Kind.UNSEEN) == b"14"
    assert seen.told(Kind.INPUT) == b"echo me\r"
    assert b"correct-horse" not in b"".join(data for _, data in seen.shown)
