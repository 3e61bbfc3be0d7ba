"""Reads are large while clients take what they are sent, and small once some left too much."""

from __future__ import annotations

from gatebook.gateway.reads import LARGE_BYTES, LEFT_BYTES, SMALL_BYTES, Reads


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


def test_all_sessions_share_one_buffer() -> None:
    reads = Reads()
    reads.buffer()[:3] = b"row"
    assert bytes(reads.buffer()[:3]) == b"row"
