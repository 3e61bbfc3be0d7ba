"""Reading the target rests between reads of a large answer, and never while or because the client decides otherwise."""

from __future__ import annotations

import asyncio
from typing import cast

from gatebook.gateway.connection import Connection
from gatebook.gateway.reads import Reads
from gatebook.gateway.upstream import MUCH_BYTES, SMALL_BYTES, Upstream


class Socket:
    """A transport as far as an Upstream sees one."""

    def __init__(self) -> None:
        self.reads, self.closing = True, False
        self.turned = asyncio.Event()

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True
        self.turned.set()

    def write(self, data: bytes) -> None:
        assert data


class Taker:
    def __init__(self) -> None:
        self.got = b""

    def from_target(self, data: bytes) -> None:
        self.got += data


def begun() -> tuple[Upstream, Socket, Taker]:
    taker, transport = Taker(), Socket()
    upstream = Upstream(cast(Connection, taker), Reads())
    upstream.connection_made(cast(asyncio.Transport, transport))
    return upstream, transport, taker


def come(upstream: Upstream, data: bytes) -> None:
    upstream.get_buffer(-1)[: len(data)] = data
    upstream.buffer_updated(len(data))


def much(upstream: Upstream) -> None:
    for _ in range(MUCH_BYTES // 8192):
        come(upstream, bytes(8192))


async def in_time(transport: Socket) -> None:
    async with asyncio.timeout(30):
        await transport.turned.wait()


async def test_small_reads_of_a_large_answer_are_put_together() -> None:
    upstream, transport, taker = begun()
    much(upstream)
    assert transport.reads
    come(upstream, b"x")
    assert not transport.reads
    assert taker.got == bytes(MUCH_BYTES) + b"x"  # what came goes on at once
    await in_time(transport)
    assert transport.reads


async def test_large_reads_of_a_large_answer_wait_for_their_turn() -> None:
    upstream, transport, _ = begun()
    much(upstream)
    come(upstream, bytes(SMALL_BYTES))
    assert not transport.reads
    await asyncio.sleep(0)
    assert transport.reads


async def test_the_answer_to_a_new_question_does_not_rest() -> None:
    upstream, transport, _ = begun()
    much(upstream)
    upstream.write(b"question")
    come(upstream, b"answer")
    assert transport.reads


async def test_a_client_that_does_not_read_is_not_read_for_when_the_rest_is_over() -> None:
    upstream, transport, _ = begun()
    much(upstream)
    come(upstream, b"x")
    upstream.read(False)
    await over()
    assert not transport.reads
    upstream.read(True)
    assert transport.reads


async def test_a_client_that_reads_again_does_not_end_the_rest() -> None:
    upstream, transport, _ = begun()
    much(upstream)
    come(upstream, b"x")
    upstream.read(False)
    upstream.read(True)
    assert not transport.reads
    await in_time(transport)
    assert transport.reads


async def test_a_target_that_is_gone_meanwhile_is_not_read() -> None:
    upstream, transport, _ = begun()
    much(upstream)
    come(upstream, b"x")
    transport.closing = True
    await over()
    assert not transport.reads


async def over() -> None:
    """Another rest that begins later is over, so this one is."""
    other, transport, _ = begun()
    much(other)
    come(other, b"x")
    await in_time(transport)
