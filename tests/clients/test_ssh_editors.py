"""An editor that works on a host, as VS Code's Remote-SSH does: a shell that is fed a script, and a proxy to what it starts."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host

from gatebook.cli.demo.processes import answers, free_port, wait_until

pytestmark = pytest.mark.real

RULES = """
@id("editors-reach-their-own-server") @reason("an editor reaches what it started on the host, and nothing else")
forbid (principal, action == Action::"ssh.forward", resource)
unless { context.host == "127.0.0.1" && context.port >= 1024 && !context.listens };
@id("agents-feed-no-shells") @reason("agents send commands")
forbid (principal, action == Action::"ssh.input", resource) when { principal.kind == "agent" };
"""
SERVER = """
import os, socket
heard = socket.create_server(("127.0.0.1", 0))
print("listeningOn==%d==" % heard.getsockname()[1], flush=True)
while True:
    there, _ = heard.accept()
    there.sendall(os.environ["LC_EDITOR"].encode() + there.recv(100))
    there.close()
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    hosts = [host.target(forwards=["local"])]
    folder = tmp_path_factory.mktemp("ssh")
    with ring_gateway(folder, world, host, hosts=hosts, policies={"editors": RULES}) as gateway:
        yield gateway


def asked(proxy: int, host: str, port: int) -> bytes:
    """What a place says that is reached by the client's proxy (SOCKS 5), b"" where none is."""
    with socket.create_connection(("127.0.0.1", proxy), timeout=SECONDS) as connection:
        connection.sendall(b"\x05\x01\0")
        assert connection.recv(2) == b"\x05\0"
        connection.sendall(b"\x05\x01\0\x03" + bytes((len(host),)) + host.encode() + port.to_bytes(2, "big"))
        if connection.recv(10)[1:2] != b"\0":
            return b""
        connection.sendall(b"editor")
        return connection.recv(100)


def test_an_editor_installs_its_server_by_a_script_and_reaches_it_by_the_proxy(web1: Hosted) -> None:
    proxy, token = free_port(), web1.gateway.mint(sub="ada", kind="person")
    options = ["-T", "-D", str(proxy), "-o", "SetEnv=LC_EDITOR=yes", "-o", "ConnectTimeout=15"]
    with web1.open_ssh("sh", options=options, token=token) as editor:
        assert editor.stdin is not None
        assert editor.stdout is not None
        script = f"echo 'a1b2: running'\ncat > {web1.folder}/server.py << 'END'\n{SERVER}\nEND\n"
        script += f"echo platform==$(uname)==\n{sys.executable} {web1.folder}/server.py & server=$!\n"
        editor.stdin.write(script.encode())
        editor.stdin.flush()
        assert [editor.stdout.readline() for _ in range(2)] == [b"a1b2: running\n", b"platform==Linux==\n"]
        told = re.fullmatch(rb"listeningOn==(\d+)==\n", editor.stdout.readline())
        assert told is not None
        port = int(told[1])
        assert wait_until(lambda: answers(proxy), SECONDS)
        assert [asked(proxy, "127.0.0.1", port) for _ in range(3)] == [b"yeseditor"] * 3
        assert asked(proxy, "10.1.2.3", port) == b""
        assert asked(proxy, "127.0.0.1", 22) == b""
        editor.stdin.write(b"kill $server\necho 'a1b2: end'\nexit 4\n")
        editor.stdin.flush()
        assert editor.stdout.readline() == b"a1b2: end\n"
        assert editor.wait(SECONDS) == 4
    assert [(one["verb"], one["reach"], one["ruling"], one["rule"]) for one in web1.actions()] == [
        ("ssh.exec", "unknown", "allow", "everything"),
        ("ssh.input", "unknown", "allow", "everything"),
        *[("ssh.forward", "unknown", "allow", "everything")] * 3,
        *[("ssh.forward", "unknown", "block", "editors-reach-their-own-server")] * 2,
    ]


def test_who_may_not_feed_a_shell_installs_nothing(web1: Hosted) -> None:
    done = web1.ssh("sh", stdin=b"echo 'a1b2: running'\n", options=["-T"])
    assert b"gatebook: blocked by agents-feed-no-shells: agents send commands" in done.stderr
    assert done.stdout == b""
