"""Forwards with OpenSSH's clients: what rules open, the host connects; what they do not, nobody does."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host

from gatebook.cli.demo.processes import answers, free_port, wait_until

pytestmark = pytest.mark.real

RULES = """
@id("no-such-port") @reason("port 9 is for nobody") @instead("Ask for another.")
forbid (principal, action == Action::"ssh.forward", resource) when { context.port == 9 };
@id("held-port") @approvers("group:dba") @reason("opened with group dba")
forbid (principal, action == Action::"ssh.forward", resource) when { context.host == "localhost" && !context.listens }
unless { context.approved };
@id("no-public-listeners") @reason("hosts listen on loopback alone")
forbid (principal, action == Action::"ssh.forward", resource) when { context.listens && context.host == "0.0.0.0" };
"""


class Echo(socketserver.BaseRequestHandler):
    """Says back what it hears, then that it has ended."""

    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)
        self.request.sendall(b".")


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def echo() -> Iterator[int]:
    server = Tcp(("127.0.0.1", 0), Echo)
    with serving(server):
        yield server.server_address[1]


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that forwards nothing itself."""
    host = Host(tmp_path_factory.mktemp("shut"), "DisableForwarding yes").start()
    yield host
    host.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host, shut: Host) -> Iterator[LiveGateway]:
    both = ["local", "remote"]
    hosts = [
        host.target(forwards=both),
        host.target(name="out", forwards=["local"]),
        host.target(name="closed"),
        shut.target(name="shut", forwards=both),
    ]
    folder = tmp_path_factory.mktemp("ssh")
    with ring_gateway(folder, world, host, hosts=hosts, policies={"forwards": RULES}) as gateway:
        yield gateway


def said(connection: socket.socket, data: bytes) -> bytes:
    """What comes back until the end, once all was said."""
    connection.settimeout(SECONDS)
    sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
    sender.start()
    found = bytearray()
    while got := connection.recv(65_536):
        found += got
    sender.join()
    return bytes(found)


@contextmanager
def standing(web1: Hosted, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """An ssh with nothing but forwards; it is over at the end."""
    process = web1.open_ssh(options=["-N", "-o", "ExitOnForwardFailure=yes", *options])
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


def listens(process: subprocess.Popen[bytes]) -> None:
    """Wait until a client with -v has heard that the host listens."""
    assert process.stderr is not None
    while b"remote forward success" not in (line := process.stderr.readline()):
        assert line, "the client went away"


def forwards(web1: Hosted) -> list[dict[str, Any]]:
    return [one for one in web1.actions() if one["verb"] == "ssh.forward"]


def connected(port: int) -> socket.socket:
    assert wait_until(lambda: answers(port), SECONDS)
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


# What rules open --------------------------------------------------------------------------------------------------------


def test_a_connection_goes_through_the_host_with_its_halves_and_its_bytes_counted(web1: Hosted, echo: int) -> None:
    done = web1.ssh(options=["-W", f"127.0.0.1:{echo}"], stdin=b"over there")
    assert (done.returncode, done.stdout) == (0, b"over there.")
    (action,) = web1.actions()
    assert (action["verb"], action["reach"], action["text"]) == (
        "ssh.forward", "unknown", f"forward to 127.0.0.1 port {echo}",
    )  # fmt: skip
    assert action["status"] == "closed: 10 bytes in, 11 out"


def test_many_bytes_pass_either_way_at_once(web1: Hosted, echo: int) -> None:
    port, data = free_port(), os.urandom(12_000_000)
    with standing(web1, "-L", f"{port}:127.0.0.1:{echo}"), connected(port) as connection:
        assert said(connection, data) == data + b"."


def test_each_connection_of_a_local_forward_is_an_action(web1: Hosted, echo: int) -> None:
    port = free_port()
    with standing(web1, "-L", f"{port}:127.0.0.1:{echo}"):
        for number in range(3):
            with connected(port) as connection:
                assert said(connection, b"%d" % number) == b"%d." % number
    texts = [one["text"] for one in web1.actions()]
    assert len(texts) >= 3
    assert set(texts) == {f"forward to 127.0.0.1 port {echo}"}


def test_a_proxy_of_the_client_asks_for_each_place(web1: Hosted, echo: int) -> None:
    port = free_port()
    with standing(web1, "-D", str(port)):
        for there, answer in ((echo, 0), (9, 1)):
            with connected(port) as connection:
                connection.sendall(b"\x05\x01\0")
                assert connection.recv(2) == b"\x05\0"
                connection.sendall(b"\x05\x01\0\x01\x7f\0\0\x01" + there.to_bytes(2, "big"))
                assert connection.recv(10)[1:2] == bytes([answer]) or answer
    assert [(one["ruling"], one["rule"]) for one in web1.actions()] == [("allow", "everything"), ("block", "no-such-port")]


def test_a_socket_of_the_host_is_reached(web1: Hosted) -> None:
    path, port = web1.folder / "s", free_port()
    with serving(Unix(str(path), Echo)), standing(web1, "-L", f"{port}:{path}"), connected(port) as connection:
        assert said(connection, b"x") == b"x."
    assert web1.actions()[-1]["text"] == f"forward to socket {path}"


def test_the_host_listens_and_its_connections_are_the_clients(web1: Hosted, echo: int) -> None:
    port = free_port()
    with standing(web1, "-v", "-R", f"127.0.0.1:{port}:127.0.0.1:{echo}") as process:
        listens(process)
        for number in range(3):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                assert said(connection, b"%d" % number) == b"%d." % number
    (action,) = web1.actions()
    assert action["text"] == f"forward from 127.0.0.1 port {port}"
    many = re.fullmatch(r"closed: (\d+) connections, (\d+) bytes in, (\d+) out", action["status"])
    assert many is not None
    assert [int(one) for one in many.groups()] == [3, 6, 3]
    assert wait_until(lambda: not answers(port), SECONDS)


def test_the_host_chooses_a_port_and_the_client_hears_which(web1: Hosted, echo: int) -> None:
    process = web1.open_ssh("cat", options=["-R", f"0:127.0.0.1:{echo}"])
    try:
        assert process.stderr is not None
        found = re.match(rb"Allocated port (\d+) for remote forward", process.stderr.readline())
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1]))) as connection:
            assert said(connection, b"x") == b"x."
    finally:
        process.communicate(b"", timeout=SECONDS)


def test_the_host_listens_at_a_socket(web1: Hosted, echo: int) -> None:
    path = web1.folder / "s"
    with standing(web1, "-v", "-R", f"{path}:127.0.0.1:{echo}") as process:
        listens(process)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            assert said(connection, b"x") == b"x."
    assert web1.actions()[-1]["text"] == f"forward from socket {path}"


def test_a_listener_is_taken_back_while_its_connection_goes_on(web1: Hosted, echo: int) -> None:
    port = free_port()
    shared = ["-o", f"ControlPath={web1.folder}/c"]
    with standing(web1, "-M", *shared, "-R", f"127.0.0.1:{port}:127.0.0.1:{echo}"):
        assert wait_until(lambda: answers(port), SECONDS)
        done = web1.ssh(options=[*shared, "-O", "cancel", "-R", f"127.0.0.1:{port}:127.0.0.1:{echo}"])
        assert done.returncode == 0
        assert wait_until(lambda: not answers(port), SECONDS)
        assert web1.ssh("echo still", options=shared).stdout == b"still\n"


def test_a_held_forward_connects_after_the_yes(web1: Hosted, echo: int) -> None:
    process = web1.open_ssh(options=["-W", f"localhost:{echo}"])
    seen = web1.approve()
    out, _ = process.communicate(b"x", timeout=SECONDS)
    assert (seen, out) == (f"as {web1.host.user}:\nforward to localhost port {echo}", b"x.")


def test_a_killed_session_ends_its_forwards(web1: Hosted, echo: int) -> None:
    port = free_port()
    with standing(web1, "-L", f"{port}:127.0.0.1:{echo}") as process, connected(port) as connection:
        connection.settimeout(SECONDS)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        answer = web1.gateway.gatebook("sessions", "kill", web1.gateway.sessions()[0]["id"], "--reason", "enough")
        assert answer.status == 0, answer.output
        assert connection.recv(1) == b""
        assert process.wait(SECONDS) == 255


# What nobody opens ------------------------------------------------------------------------------------------------------


def test_a_refused_place_is_told_in_the_channels_failure(web1: Hosted) -> None:
    done = web1.ssh(options=["-W", "127.0.0.1:9"])
    assert done.returncode == 255
    assert b"gatebook: blocked by no-such-port: port 9 is for nobody" in done.stderr
    assert b"Ask for another." in done.stderr
    assert [(one["ruling"], one["status"]) for one in web1.actions()] == [("block", None)]


def test_what_the_host_cannot_reach_is_told(web1: Hosted) -> None:
    done = web1.ssh(options=["-W", f"127.0.0.1:{free_port()}"])
    assert done.returncode == 255
    assert b"gatebook: the host does not connect there" in done.stderr
    assert web1.actions()[0]["status"] == "failed: 0 bytes in, 0 out"


def test_the_gateway_itself_dials_nothing(web1: Hosted, echo: int) -> None:
    done = web1.ssh(options=["-W", f"127.0.0.1:{echo}"], user="shut")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"the host does not connect there" in done.stderr
    assert (
        web1.ssh("true", options=["-R", f"0:127.0.0.1:{echo}", "-o", "ExitOnForwardFailure=yes"], user="shut").returncode == 255
    )


def test_a_listener_that_rules_refuse_is_none(web1: Hosted) -> None:
    port = free_port()
    done = web1.ssh("true", options=["-R", f"0.0.0.0:{port}:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"])
    assert done.returncode == 255
    assert [one["rule"] for one in forwards(web1)] == ["no-public-listeners"]
    assert not answers(port)


@pytest.mark.parametrize(
    ("user", "options"),
    [("closed", ["-W", "127.0.0.1:7"]), ("closed", ["-R", "0:127.0.0.1:1"]), ("out", ["-R", "0:127.0.0.1:1"])],
)
def test_what_the_target_does_not_open_no_rule_is_asked_about(web1: Hosted, user: str, options: list[str]) -> None:
    done = web1.ssh(*([] if "-W" in options else ["true"]), options=[*options, "-o", "ExitOnForwardFailure=yes"], user=user)
    assert done.returncode == 255
    assert [one["rule"] for one in forwards(web1)] == ["not-passed-on"]


@pytest.mark.parametrize("place", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_target_of_the_gateways_is_not_reached_around_it(web1: Hosted, place: str) -> None:
    port = web1.gateway.world.plain.port
    done = web1.ssh(options=["-W", f"[{place}]:{port}"])
    assert done.returncode == 255
    assert b"that is target shop, which is reached through the gateway itself" in done.stderr
