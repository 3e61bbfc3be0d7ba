"""Reads are large while clients take what they are sent, small once some left too much, and few in one turn of the loop."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from functools import partial
from typing import cast

import uvloop

from gatebook.gateway.connection import Connection
from gatebook.gateway.reads import LARGE_BYTES, LEFT_BYTES, SMALL_BYTES, TURN_READS, Reader, Reads
from gatebook.gateway.upstream import MUCH_BYTES, Upstream


def test_a_read_is_large_while_clients_take_what_they_are_sent() -> None:
    reads = Reads()
    reads.left("one", LEFT_BYTES - 1)
    assert len(reads.buffer()) == LARGE_BYTES


def test_reads_are_small_while_too_much_is_left() -> None:
    reads = Reads()
    for client in range(16):
        reads.left(client, LEFT_BYTES // 16)
    assert len(reads.buffer()) == SMALL_BYTES
    reads.left(3, 0)
    assert len(reads.buffer()) == LARGE_BYTES


def test_a_client_counts_once() -> None:
    reads = Reads()
    for _ in range(3):
        reads.left("one", LEFT_BYTES - 1)
    assert len(reads.buffer()) == LARGE_BYTES
    for _ in range(3):
        reads.left("one", 0)
    reads.left("two", LEFT_BYTES)
    assert len(reads.buffer()) == SMALL_BYTES


def test_a_reader_hears_what_was_read_and_keeps_it_whatever_is_read_next() -> None:
    heard: list[bytes] = []

    class Listener(Reader):
        def data_received(self, data: bytes) -> None:
            heard.append(data)

    for one, said in ((Listener(), b"one"), (Listener(), b"more")):
        one.get_buffer(1)[: len(said)] = said
        one.buffer_updated(len(said))
    assert heard == [b"one", b"more"]


def test_all_sessions_share_one_buffer() -> None:
    reads = Reads()
    reads.buffer()[:3] = b"row"
    assert bytes(reads.buffer()[:3]) == b"row"


async def test_in_one_turn_of_the_loop_few_sessions_read_and_each_has_its_turn() -> None:
    reads, order = Reads(), list[int]()
    for number in range(2 * TURN_READS + 1):
        reads.later(partial(order.append, number))
    assert order == []
    for turns in (1, 2, 3):
        await asyncio.sleep(0)
        assert order == list(range(min(turns * TURN_READS, 2 * TURN_READS + 1)))
    reads.later(partial(order.append, -1))
    await asyncio.sleep(0)
    assert order[-1] == -1


async def test_nobody_with_a_large_answer_reads_while_recordings_are_behind() -> None:
    behind, read = [True, True], asyncio.Event()
    reads = Reads(behind=lambda: bool(behind) and behind.pop())
    reads.later(read.set)
    await asyncio.sleep(0)
    assert (behind, read.is_set()) == ([True], False)
    async with asyncio.timeout(10):
        await read.wait()
    assert behind == []


def test_a_session_with_a_large_answer_reads_once_before_others_have_their_turn() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_most_in_one_turn()) == 1


async def _most_in_one_turn() -> int:
    """How often a target that sends all the time was read between two turns of the loop, once much has come."""
    mine, theirs = _pair()
    taker, reads, loop = Taker(), Reads(), asyncio.get_running_loop()
    flood = threading.Thread(target=_flood, args=(theirs,))
    flood.start()
    transport, _ = await loop.create_connection(lambda: Upstream(cast(Connection, taker), reads), sock=mine)
    most = 0
    async with asyncio.timeout(60):
        while len(taker.sizes) < 200:
            before = len(taker.sizes)
            await asyncio.sleep(0)
            if sum(taker.sizes[:before]) > MUCH_BYTES:
                most = max(most, len(taker.sizes) - before)
    transport.abort()
    theirs.shutdown(socket.SHUT_RDWR)
    await asyncio.to_thread(flood.join)
    theirs.close()
    return most


def _pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection whose kernel holds many reads."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * LARGE_BYTES)
        far = socket.create_connection(door.getsockname())
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * LARGE_BYTES)
        return door.accept()[0], far


class Taker:
    """A connection that takes whatever comes, slower than it comes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def from_target(self, data: bytes) -> None:
        self.sizes.append(len(data))
        hashlib.sha512(data)  # takes longer than the kernel to fill the socket

    def signal(self, _signal: object) -> None:
        pass


def _flood(end: socket.socket) -> None:
    try:
        while True:
            end.sendall(bytes(LARGE_BYTES))
    except OSError:
        return
