"""How packets of SSH come in and which ciphers they have: what asyncssh asks for, at less cost and with the same answers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import MSG_KEXINIT
from asyncssh.packet import Boolean, Byte, NameList, PacketDecodeError, UInt32
from hypothesis import given
from hypothesis import strategies as st

from gatebook.gateway.ssh import far
from gatebook.gateway.ssh.connection import Connection
from gatebook.gateway.ssh.far import ERRORS_OF, Far
from gatebook.gateway.ssh.packets import CIPHERS, PIECE_BYTES, UNREAD_BYTES, Unread, accepted, gcm_of
from gatebook.protocols.ssh.messages import Data, Eof, Errors, Exit
from gatebook.protocols.ssh.relay import Failed, SshSignal, TargetSaid

OURS = [cipher.encode() for cipher in CIPHERS]
GCM = OURS[:2]


@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 30)), max_size=30))
def test_what_is_unread_is_what_bytes_would_be(steps: list[bytes | int]) -> None:
    known, unread = b"", Unread()
    for step in steps:
        if isinstance(step, bytes):
            known += step
            unread += step
        else:
            assert unread[:step] == known[:step]
            assert unread[step // 2 : step] == known[step // 2 : step]
            known, rest = known[step:], unread[step:]
            assert isinstance(rest, Unread)
            unread = rest
        assert (len(unread), bool(unread)) == (len(known), bool(known))
        assert unread.find(b"\0", 0, 20) == known.find(b"\0", 0, 20)
        assert unread[: len(known)] == known


def kexinit(sent: list[bytes], received: list[bytes]) -> bytes:
    lists = [[b"curve25519-sha256"], [b"ssh-ed25519"], sent, received, [b"m"], [b"m"], [b"none"], [b"none"], [], []]
    return b"".join([Byte(MSG_KEXINIT), b"c" * 16, *map(NameList, lists), Boolean(False), UInt32(0)])


@pytest.mark.parametrize(
    ("sent", "received", "chosen"),
    [
        ([b"aes128-ctr", b"aes128-gcm@openssh.com"], [b"aes128-ctr", b"aes128-gcm@openssh.com"], GCM),
        ([b"aes128-gcm@openssh.com"], [b"aes256-gcm@openssh.com"], GCM),
        ([b"aes128-gcm@openssh.com", b"aes128-ctr"], [b"aes128-ctr"], OURS),
        ([b"aes128-ctr"], [b"aes128-ctr"], OURS),
        ([], [], OURS),
    ],
)
def test_gcm_is_asked_for_where_a_client_has_it_both_ways(
    sent: list[bytes], received: list[bytes], chosen: list[bytes]
) -> None:
    assert gcm_of(kexinit(sent, received), OURS) == chosen


def test_what_is_no_list_of_ciphers_is_at_fault() -> None:
    with pytest.raises(PacketDecodeError):
        gcm_of(kexinit([], [])[:30], OURS)


class Line:
    """As much of a transport as is asked for."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_a_connection_that_does_not_wait_while_something_is_looked_at_ends() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    options = await asyncssh.SSHServerConnectionOptions.construct(server_factory=asyncssh.SSHServer, server_host_keys=[key])
    made: Any = Connection(asyncio.get_running_loop(), options)
    made._transport = line = Line()
    made._recv_handler = lambda: False  # asyncssh's own, while it looks at a packet
    made.data_received(b"x" * UNREAD_BYTES)
    await asyncio.sleep(0)
    assert not line.aborted
    made.data_received(b"x")
    await asyncio.sleep(0)
    assert line.aborted
    await asyncio.sleep(0)


async def test_small_pieces_that_nobody_reads_are_kept_together() -> None:
    connection: Any = SimpleNamespace(logger=asyncssh.logging.logger, add_channel=lambda _: 0)
    loop = asyncio.get_running_loop()
    chan: Any = asyncssh.SSHTCPChannel(connection, loop, None, "strict", 2_097_152, 32_768)
    chan._send_state = "open"
    said = bytes(range(256)) * 100
    for at in range(len(said)):
        accepted(chan, said[at : at + 1])
    accepted(chan, b"errors", ERRORS_OF)
    assert b"".join(data for data, _ in chan._recv_buf) == said + b"errors"
    assert len(chan._recv_buf) <= len(said) / PIECE_BYTES + 2


class Heard:
    def __init__(self) -> None:
        self.signals: list[SshSignal] = []

    def signal(self, signal: SshSignal) -> None:
        self.signals.append(signal)

    def flow(self) -> None:
        pass


class Open:
    """As much of a channel as is asked for."""


def host() -> tuple[Heard, Far]:
    heard, chan = Heard(), Open()
    made = Far(heard)
    known: Any = chan
    made.connection_made(known)
    return heard, made


async def test_what_comes_at_once_is_told_as_one_and_streams_keep_their_order() -> None:
    heard, made = host()
    for data, kind in ((b"a", None), (b"b", None), (b"c", ERRORS_OF), (b"d", None)):
        made.data_received(data, kind)
    assert heard.signals == [TargetSaid(Data(b"ab")), TargetSaid(Errors(b"c"))]
    await asyncio.sleep(0)
    assert heard.signals[2:] == [TargetSaid(Data(b"d"))]


async def test_nothing_is_told_before_what_came_before_it() -> None:
    heard, made = host()
    made.data_received(b"last words", None)
    made.eof_received()
    made.exit_status_received(0)
    await asyncio.sleep(0)
    assert heard.signals == [TargetSaid(Data(b"last words")), TargetSaid(Eof()), TargetSaid(Exit(0))]
    made.data_received(b"more", None)
    made.connection_lost(OSError("gone"))
    assert heard.signals[3:] == [TargetSaid(Data(b"more")), Failed("the connection to the host was lost")]


async def test_much_is_told_before_more_is_gathered() -> None:
    heard, made = host()
    for _ in range(5):
        made.data_received(b"x" * (far.TOGETHER // 2), None)
    assert heard.signals == [TargetSaid(Data(b"x" * far.TOGETHER))] * 2


async def test_nobody_hears_what_comes_behind_the_clients_end() -> None:
    heard, made = host()
    made.data_received(b"late", None)
    made.chan = None
    made.drop()
    await asyncio.sleep(0)
    assert heard.signals == []
