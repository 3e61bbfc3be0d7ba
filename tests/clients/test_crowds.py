"""Many connections that prove nothing: they take nobody's place, and hear why they cannot stay."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import psycopg
import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until
from gatebook.gateway.crowd import EACH_ADDRESS

pytestmark = pytest.mark.real


def knock(gateway: LiveGateway, address: str) -> socket.socket:
    """A connection from an address of this machine's own that says nothing."""
    made = socket.create_connection(("127.0.0.1", gateway.port), timeout=10, source_address=(address, 0))
    made.settimeout(10)
    return made


def said(connection: socket.socket) -> bytes:
    """What a connection that does not stay hears."""
    with contextlib.suppress(ConnectionResetError):
        return wire.rest(connection)
    return b""


def test_silent_connections_past_an_addresss_share_hear_so_and_others_get_in(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway()
    with contextlib.ExitStack() as stack:
        for _ in range(EACH_ADDRESS):
            stack.enter_context(knock(gateway, "127.0.0.9"))
        turned = [said(stack.enter_context(knock(gateway, "127.0.0.9"))) for _ in range(3)]
        assert all(one[:1] == b"E" and b"C53300\0" in one and b"SFATAL\0" in one for one in turned)
        with gateway.connect() as made:
            assert made.execute("SELECT 1").fetchone() == (1,)


def test_a_door_full_of_silent_connections_leaves_live_sessions_alone_and_empties(
    new_gateway: Callable[..., LiveGateway],
) -> None:
    gateway = new_gateway(limits={"sessions": 8})
    with gateway.connect(autocommit=True) as live:
        with contextlib.ExitStack() as stack:
            for number in range(8):
                stack.enter_context(knock(gateway, f"127.0.1.{number + 1}"))
            assert b"C53300\0" in said(stack.enter_context(knock(gateway, "127.0.2.1")))
            assert live.execute("SELECT 1").fetchone() == (1,)
        assert wait_until(lambda: can_open(gateway), 10)


def can_open(gateway: LiveGateway) -> bool:
    try:
        gateway.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_session_past_the_limit_hears_that_there_are_too_many(new_gateway: Callable[..., LiveGateway]) -> None:
    gateway = new_gateway(limits={"sessions": 1})
    with gateway.connect() as first:
        with pytest.raises(psycopg.OperationalError, match="all 1 sessions of the gateway are taken"):
            gateway.connect()
        assert first.execute("SELECT 1").fetchone() == (1,)
