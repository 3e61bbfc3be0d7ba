"""Clients that ask for much and read nothing: the gateway holds back the target, and its memory stays what it was."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway, World

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

CLIENTS = 40
GROWTH_KILOBYTES = 32 * 1024  # for all of them together, however many: see gateway/reads.py
HELD_SECONDS = 30.0
ROWS = "SELECT g, repeat('x', 10000) FROM generate_series(1, 10000) g"  # 100 MB
ASKS = [
    pytest.param(wire.query(ROWS), id="rows"),
    pytest.param(wire.query(f"COPY ({ROWS}) TO STDOUT"), id="copy"),
    pytest.param(
        wire.query("COPY (SELECT ssn, repeat('x', 10000) FROM customers, generate_series(1, 1250)) TO STDOUT"), id="covered"
    ),
]


@pytest.fixture
def quiet(new_gateway: Callable[..., LiveGateway]) -> LiveGateway:
    """A gateway that has done nothing yet, so that no memory of earlier work hides what it takes."""
    return new_gateway()


@pytest.fixture
def clients(quiet: LiveGateway) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        made = [stack.enter_context(quiet.raw()) for _ in range(CLIENTS)]
        for each in made:
            wire.logged_in(each, quiet.mint())
        yield made


def held_back(world: World) -> bool:
    """Whether the target waits to be read, for every one of the clients."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND usename = 'shop_app'"
    return world.plain.sql(waiting, "shop").strip() == str(CLIENTS)


@pytest.mark.parametrize("ask", ASKS)
def test_clients_that_never_read_do_not_fill_the_gateways_memory(
    quiet: LiveGateway, world: World, clients: list[socket.socket], ask: bytes
) -> None:
    before = quiet.memory_kilobytes
    for each in clients:
        each.sendall(ask)
    for each in clients:
        assert each.recv(1)  # the answer has begun; nothing more is read
    assert wait_until(lambda: held_back(world), HELD_SECONDS)
    assert quiet.memory_kilobytes - before <= GROWTH_KILOBYTES


def test_a_client_that_reads_after_all_gets_every_row(clients: list[socket.socket]) -> None:
    text = "COPY (SELECT g, repeat('x', 1000) FROM generate_series(1, 10000) g) TO STDOUT"
    for each in clients:
        each.sendall(wire.query(text))
    first = clients[0]
    got = wire.until_ready(first)
    assert got.count(b"x" * 1000 + b"\n") == 10_000
    assert b"COPY 10000\0" in got
