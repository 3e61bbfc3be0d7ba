"""What no client should send, at the door of SSH and behind it: a clear end, bounded memory, and a gateway that goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_CHANNEL_WINDOW_ADJUST, MSG_GLOBAL_REQUEST
from asyncssh.packet import Boolean, String, UInt32
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import RULES, SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host

from gatebook.cli.demo.processes import wait_until
from gatebook.gateway.ssh.session import CHANNELS

pytestmark = pytest.mark.real

HELD = """
@id("people-are-asked") @approvers("group:dba") @reason("people are asked first")
forbid (principal, action in [Action::"ssh.agent", Action::"ssh.forward"], resource) unless { context.approved };
"""
VERSION = b"SSH-2.0-nobody\r\n"
GROWTH_KILOBYTES = 120_000
LOGIN_SECONDS = 15  # a busy machine takes its time for a handshake


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    limits, hosts = {"login_seconds": LOGIN_SECONDS}, [host.target(forwards=["agent", "remote"])]
    policies = {"hosts": RULES, "held": HELD}
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, limits=limits, hosts=hosts, policies=policies) as gateway:
        yield gateway


def raw(web1: Hosted) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", web1.gateway.ssh_port), timeout=SECONDS)
    made.settimeout(SECONDS)
    return made


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    said = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65_536):
            said += data
    return said


def settings(web1: Hosted, **more: Any) -> dict[str, Any]:
    usual = {
        "host": "127.0.0.1", "port": web1.gateway.ssh_port, "username": "web1", "password": web1.gateway.mint(), "config": None,
        "known_hosts": str(web1.known_hosts), "agent_path": None, "client_keys": None, "encoding": None,
    }  # fmt: skip
    return usual | more


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-1.0-old\r\n",
        VERSION + b"\xff\xff\xff\xff" + b"x" * 64,
        VERSION + b"\0\0\0\x04\0\0\0\0" * 8,
        VERSION + b"\0\0\x01\x00" + b"\x14" * 300,
        b"x" * 20_000,
    ],
    ids=["nothing", "http", "ssh1", "longest", "short", "kexinit", "no-version"],
)
def test_what_is_no_ssh_ends_the_connection_and_nothing_else(web1: Hosted, said: bytes) -> None:
    opened = len(web1.gateway.entries("session.open"))
    with raw(web1) as connection:
        with suppress(ConnectionError):
            connection.sendall(said)
        rest(connection)
    assert web1.ssh("echo still here").stdout == b"still here\n"
    assert len(web1.gateway.entries("session.open")) == opened + 1


def test_the_first_packet_offers_strict_key_exchange(web1: Hosted) -> None:
    with raw(web1) as connection:
        connection.sendall(VERSION)
        said = b""
        while b"ext-info-s" not in said and (data := connection.recv(65_536)):
            said += data
    assert b"kex-strict-s-v00@openssh.com" in said


async def test_somebody_may_not_guess_tokens_for_ever(web1: Hosted) -> None:
    tries = 0

    class Guessing(asyncssh.SSHClient):
        def password_auth_requested(self) -> str:
            nonlocal tries
            tries += 1
            return f"gbt_{tries:043}"

    with pytest.raises((asyncssh.Error, OSError)):
        await asyncssh.connect(**settings(web1, password=None, client_factory=Guessing, preferred_auth="password"))
    assert 0 < tries <= 8


@pytest.mark.parametrize("user", ["x" * 1_100, "a%b%c", "%", "../web1", "web1/shop"])
async def test_a_users_name_that_is_none_opens_nothing(web1: Hosted, user: str) -> None:
    with pytest.raises((asyncssh.Error, OSError)):
        await asyncssh.connect(**settings(web1, username=user))
    assert web1.ssh("echo still here").stdout == b"still here\n"


async def test_channels_have_an_end_and_the_others_go_on(web1: Hosted) -> None:
    async with asyncssh.connect(**settings(web1)) as connection, AsyncExitStack() as open_ones:
        refused = 0
        for _ in range(CHANNELS + 20):
            try:
                await open_ones.enter_async_context(await connection.create_process("cat"))
            except asyncssh.ChannelOpenError:
                refused += 1
                if refused >= 5:
                    break
        assert refused == 5
        open_ones.pop_all()
        connection.close()
    assert web1.ssh("echo still here").stdout == b"still here\n"


@pytest.mark.parametrize("command", ["ls\0; id", "echo " + "x" * 70_000])
async def test_a_command_that_a_host_may_read_otherwise_goes_nowhere(web1: Hosted, command: str) -> None:
    async with asyncssh.connect(**settings(web1)) as connection:
        done = await connection.run(command)
    assert done.exit_status == 77
    assert b"blocked by not-passed-on" in bytes(done.stderr or b"")
    assert [(one["verb"], one["ruling"]) for one in web1.actions()] == [("ssh.exec", "block")]


async def test_a_client_that_reads_nothing_holds_no_more_than_windows(web1: Hosted) -> None:
    before = web1.gateway.memory_kilobytes
    async with asyncssh.connect(**settings(web1)) as connection:
        process = await connection.create_process("cat /dev/zero")
        process.stdout.channel.pause_reading()
        session = web1.gateway.entries("session.open")[-1]["sid"]
        assert await asyncio.to_thread(
            wait_until, lambda: session in [one["sid"] for one in web1.gateway.entries("rec.segment")], SECONDS
        )
        grown = web1.gateway.memory_kilobytes - before
        connection.abort()
    assert grown < GROWTH_KILOBYTES, grown
    web1.actions()


async def test_what_waits_on_many_channels_while_people_think_is_little_and_goes_on_whole(web1: Hosted) -> None:
    before, content = web1.gateway.memory_kilobytes, b"x" * 3_000_000
    async with asyncssh.connect(**settings(web1)) as connection:
        asked = [await connection.create_process("touch /tmp/gatebook-held; wc -c") for _ in range(60)]
        for process in asked:
            process.stdin.write(content)
            process.stdin.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(4):
                await asyncio.gather(*(process.stdin.drain() for process in asked))
        grown = web1.gateway.memory_kilobytes - before
        assert sum(process.channel._send_window for process in asked) == 0
        assert grown < 60 * 2_048 * 0.4, grown
        await asyncio.to_thread(web1.approve)
        await asyncio.to_thread(web1.approve)  # its input, which is asked about by itself
        done = await asyncio.wait_for(asyncio.gather(*(process.wait() for process in asked)), SECONDS)
        said = [bytes(one.stdout or b"").strip() for one in done]  # the same was asked sixty times, and a yes is for once
        assert [one for one in said if one] == [b"%d" % len(content)]
        connection.abort()
    web1.actions()


class Wide(asyncssh.SSHClientProcess[bytes]):
    """Says that it takes all there is, at once."""

    def connection_made(self, chan: Any) -> None:
        super().connection_made(chan)
        chan._recv_window = 1 << 31
        chan.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(1 << 31))


async def growth(web1: Hosted, before: int, seconds: float = 8.0) -> int:
    """By how much the gateway's memory grows, until it is far too much."""
    most, end = 0, asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end and most < 2 * GROWTH_KILOBYTES:
        most = max(most, web1.gateway.memory_kilobytes - before)
        await asyncio.sleep(0.2)
    return most


@pytest.mark.parametrize("keys", [False, True], ids=["unread", "keys"])
async def test_a_client_whose_window_has_no_end_and_that_takes_nothing_holds_no_more(web1: Hosted, *, keys: bool) -> None:
    """It does not read its connection, or begins to make keys anew and never goes on."""
    before = web1.gateway.memory_kilobytes
    connection: Any = await asyncssh.connect(**settings(web1))
    await connection.create_session(Wide, "cat /dev/zero", encoding=None)
    if keys:
        connection._recv_handler = lambda: False
        connection._send_kexinit()
    else:
        connection._transport.pause_reading()
    found = await growth(web1, before)
    connection.abort()
    assert found < GROWTH_KILOBYTES, found
    assert web1.ssh("echo still here").stdout == b"still here\n"


def taken(connection: Any) -> bool:
    """Whether all that was sent is on its way, or nobody is there any more."""
    return connection._transport is None or not connection._transport.get_write_buffer_size()


@pytest.mark.parametrize("keys", [False, True], ids=["unread", "keys"])
async def test_answers_that_nobody_takes_end_the_connection(web1: Hosted, *, keys: bool) -> None:
    before = web1.gateway.memory_kilobytes
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)  # so that not the kernel takes it
    line.connect(("127.0.0.1", web1.gateway.ssh_port))
    line.setblocking(False)
    connection: Any = await asyncssh.connect(**settings(web1, host="", port=0, sock=line))
    if keys:
        connection._send_kexinit()
        connection._kex_complete = True  # it goes on as if it had not begun
    connection._recv_handler = lambda: False
    connection._transport.pause_reading()
    asked = String("nothing@example.org") + UInt32(0) + UInt32(1) + UInt32(1)
    for _ in range(1_000):
        for _ in range(1_000):
            connection.send_packet(MSG_CHANNEL_OPEN, asked)
        assert await asyncio.to_thread(wait_until, lambda: taken(connection), SECONDS)
        if connection._transport is None:
            break
    found, ended = web1.gateway.memory_kilobytes - before, connection._transport is None
    connection.abort()
    assert found < GROWTH_KILOBYTES, found
    assert ended
    assert web1.ssh("echo still here").stdout == b"still here\n"


@pytest.mark.parametrize("of", ["channel", "connection"])
async def test_requests_that_wait_for_a_decision_have_an_end(web1: Hosted, of: str) -> None:
    before = web1.gateway.memory_kilobytes
    connection = await asyncssh.connect(**settings(web1))
    process = await connection.create_process("echo up; sleep 600")
    assert await process.stdout.readline() == b"up\n"
    chan: Any = process.channel
    if of == "channel":
        chan._send_request(b"auth-agent-req@openssh.com", want_reply=True)
    else:
        wanted = String("tcpip-forward") + Boolean(value=True) + String("127.0.0.1") + UInt32(0)
        connection.send_packet(MSG_GLOBAL_REQUEST, wanted)
    for _ in range(10_000):
        if connection.is_closed():
            break
        if of == "channel":
            chan._send_request(b"env", String("NAME"), String(b"x" * 30_000))
        else:
            connection.send_packet(MSG_GLOBAL_REQUEST, String("nobody@example.org") + Boolean(value=False) + b"x" * 30_000)
        await asyncio.sleep(0)
    found, ended = web1.gateway.memory_kilobytes - before, connection.is_closed()
    connection.abort()
    assert found < GROWTH_KILOBYTES, found
    assert ended
    assert web1.ssh("echo still here").stdout == b"still here\n"


async def test_a_session_whose_client_vanishes_is_closed_in_the_book(web1: Hosted) -> None:
    connection = await asyncssh.connect(**settings(web1))
    process = await connection.create_process("echo up; sleep 600")
    assert await process.stdout.readline() == b"up\n"
    connection.abort()
    assert [one["status"] for one in await asyncio.to_thread(web1.actions)] == ["the client went away"]


async def test_nothing_is_opened_before_somebody_proved_who_they_are(web1: Hosted) -> None:
    """A channel, and a global request, in the place of a proof."""
    opened = len(web1.gateway.entries("session.open"))

    class Hasty(asyncssh.SSHClient):
        def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
            self.conn = conn

        def password_auth_requested(self) -> str:
            self.conn.send_packet(90, b"\0\0\0\x07session" + b"\0\0\0\0" * 3)
            return "nothing"

    with pytest.raises((asyncssh.Error, OSError)):
        await asyncssh.connect(**settings(web1, password=None, client_factory=Hasty, preferred_auth="password"))
    assert len(web1.gateway.entries("session.open")) == opened
    assert web1.ssh("echo still here").stdout == b"still here\n"
