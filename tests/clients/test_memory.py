"""What sessions keep: parameters of portals have an end, and are gone when the session is."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

MEGABYTE = 1024 * 1024
PARAMETER = bytes(12 * MEGABYTE).replace(b"\0", b"x")


def bound(name: bytes) -> bytes:
    """Parse, and Bind of a large parameter to a portal of this name, in a transaction that stays open."""
    parse = wire.message(b"P", b"\0SELECT length($1::text)\0" + struct.pack(">H", 0))
    parameter = struct.pack(">HHI", 0, 1, len(PARAMETER)) + PARAMETER + struct.pack(">H", 0)
    return parse + wire.message(b"B", name + b"\0\0" + parameter) + wire.message(b"S", b"")


def test_portals_of_large_parameters_end_the_session_before_they_fill_the_gateway(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway()
    with gateway.raw() as connection:
        wire.logged_in(connection, gateway.mint())
        connection.sendall(wire.query("BEGIN") + bound(b"one"))
        assert wire.until_ready(connection)
        assert wire.until_ready(connection)
        connection.sendall(bound(b"two"))
        said = wire.rest(connection)
    assert b"C08P01\0" in said
    assert b"close some" in said


def test_what_a_session_kept_is_gone_with_it(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    before = 0
    for number in range(20):
        with gateway.raw() as connection:
            wire.logged_in(connection, gateway.mint())
            connection.sendall(wire.query("BEGIN"))
            wire.until_ready(connection)
            connection.sendall(bound(b"one"))
            wire.until_ready(connection)
        before = before or (gateway.memory_kilobytes if number == 11 else 0)  # each worker has served some by then
    grown = 0

    def is_gone() -> bool:
        nonlocal grown
        grown = gateway.memory_kilobytes - before
        return grown < 48 * 1024

    assert wait_until(is_gone, 10), f"{grown} kB more than before"  # the last session may be closing still
