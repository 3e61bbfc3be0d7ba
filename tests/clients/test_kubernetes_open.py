"""What stays open: watches, logs, commands with and without a terminal, files, ports and kubectl's own proxy."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from tests.testbed.clustered import Clustered, ring_gateway
from tests.testbed.clusters import PROGRAMS, Cluster
from tests.testbed.gateways import LiveGateway, World

pytestmark = pytest.mark.real

SECONDS = 30.0
TRANSPORTS = {"websocket": "true", "spdy": "false"}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, cluster: Cluster) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("streams"), world, cluster) as gateway:
        yield gateway


@pytest.fixture
def prod(door: LiveGateway, cluster: Cluster, namespace: str, tmp_path: Path) -> Clustered:
    return Clustered(door, cluster, namespace, tmp_path)


@contextmanager
def opened(prod: Clustered, *argv: str, terminal: int | None = None, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A kubectl that goes on, until the end of the test."""
    environment = prod.cluster.environment(prod.kubeconfig(), **more)
    pipe = subprocess.PIPE if terminal is None else terminal
    command = [str(PROGRAMS / "kubectl"), *argv]
    end = subprocess.STDOUT if terminal is None else terminal
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=end, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(handle: int, wanted: bytes) -> bytes:
    """What comes until something wanted is in it."""
    came, until = b"", time.monotonic() + SECONDS
    while wanted not in came:
        ready, _, _ = select.select([handle], [], [], max(0.0, until - time.monotonic()))
        assert ready, f"{wanted!r} did not come: {came!r}"
        more = os.read(handle, 65_536)
        assert more, f"it ended without {wanted!r}: {came!r}"
        came += more
    return came


def out(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    return process.stdout.fileno()


def test_a_watch_shows_what_changes(prod: Clustered) -> None:
    prod.cluster.call("POST", f"/api/v1/namespaces/{prod.namespace}/configmaps", {"metadata": {"name": "first"}})
    with opened(prod, "get", "configmaps", "--watch", "-o", "name") as process:
        read_until(out(process), b"configmap/first\n")
        prod.cluster.call("POST", f"/api/v1/namespaces/{prod.namespace}/configmaps", {"metadata": {"name": "second"}})
        read_until(out(process), b"configmap/second\n")


def test_a_watch_of_a_table_shows_what_changes(prod: Clustered) -> None:
    prod.cluster.new_pod(prod.namespace)
    with opened(prod, "get", "pods", "--watch") as process:
        assert b"NAME" in read_until(out(process), b"Running")
        prod.cluster.call("DELETE", f"/api/v1/namespaces/{prod.namespace}/pods/p")
        read_until(out(process), b"Terminating")


def test_logs_are_followed(prod: Clustered) -> None:
    prod.cluster.new_pod(
        prod.namespace, command=("sh", "-c", "echo begun; while ! test -e go; do sleep 0.1; done; echo gone on")
    )
    with opened(prod, "logs", "-f", "p") as process:
        read_until(out(process), b"begun\n")
        prod.kubectl("exec", "p", "--", "touch", "go")
        read_until(out(process), b"gone on\n")
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_commands_take_input_and_tell_how_they_end(prod: Clustered, transport: str) -> None:
    how = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": TRANSPORTS[transport]}
    prod.cluster.new_pod(prod.namespace)
    text = "".join(f"line {number}\n" for number in range(50_000))
    assert prod.kubectl("exec", "-i", "p", "--", "cat", stdin=text, **how) == text
    done = prod.run("kubectl", "exec", "p", "--", "sh", "-c", "echo bad >&2; exit 7", **how)
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.startswith("bad\n")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_shell_has_a_terminal(prod: Clustered, transport: str) -> None:
    prod.cluster.new_pod(prod.namespace)
    ours, theirs = pty.openpty()
    how = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": TRANSPORTS[transport], "TERM": "xterm"}
    try:
        with opened(prod, "exec", "-it", "p", "--", "sh", terminal=theirs, **how) as process:
            os.write(ours, b"test -t 0 && echo it is a ter''minal\n")
            read_until(ours, b"it is a terminal")
            os.write(ours, b"exit 3\n")
            assert process.wait(SECONDS) == 3
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_runs_is_attached_to(prod: Clustered, transport: str) -> None:
    how = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": TRANSPORTS[transport]}
    prod.cluster.new_pod(prod.namespace, command=("cat",), stdin=True)
    with opened(prod, "attach", "-i", "p", **how) as process:
        assert process.stdin is not None
        process.stdin.write(b"said to it\n")
        process.stdin.flush()
        read_until(out(process), b"said to it\n")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_files_are_copied_both_ways(prod: Clustered, transport: str) -> None:
    how = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": TRANSPORTS[transport]}
    prod.cluster.new_pod(prod.namespace)
    inside, back = prod.folder / "inside", prod.folder / "back"
    inside.mkdir()
    sent = prod.folder / "sent"
    sent.write_bytes(os.urandom(300_000))
    prod.kubectl("cp", str(sent), f"p:{inside}/copy", **how)
    assert (inside / "copy").read_bytes() == sent.read_bytes()
    prod.kubectl("cp", f"p:{inside}/copy", str(back), **how)
    assert back.read_bytes() == sent.read_bytes()


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        text = b"hello from the pod"
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ports_are_forwarded(prod: Clustered, transport: str) -> None:
    how = {"KUBECTL_PORT_FORWARD_WEBSOCKETS": TRANSPORTS[transport]}
    prod.cluster.new_pod(prod.namespace)
    where = f"/api/v1/namespaces/{prod.namespace}/pods/p"
    address = prod.cluster.call("GET", where)["status"]["podIP"]
    with ThreadingHTTPServer((address, 0), _Hello) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with opened(prod, "port-forward", "p", f":{server.server_address[1]}", **how) as process:
                told = read_until(out(process), b"Forwarding from 127.0.0.1:")
                port = re.search(rb"127\.0\.0\.1:(\d+)", told)
                assert port is not None, told
                for _ in range(3):
                    with closing(socket.create_connection(("127.0.0.1", int(port[1])), timeout=SECONDS)) as tcp:
                        tcp.sendall(b"GET / HTTP/1.0\r\n\r\n")
                        answer = b"".join(iter(lambda: tcp.recv(65_536), b""))
                    assert answer.endswith(b"hello from the pod")
        finally:
            server.shutdown()


def test_kubectl_proxy_passes_what_its_user_asks(prod: Clustered) -> None:
    with opened(prod, "proxy", "--port=0", "--append-server-path") as process:
        told = read_until(out(process), b"Starting to serve on 127.0.0.1:")
        port = int(told.decode().partition("127.0.0.1:")[2].split()[0])
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/namespaces/{prod.namespace}", trust_env=False, timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["name"] == prod.namespace
