"""Peers that break the protocol: garbage, oversize, slow or surplus bytes. A clear end, bounded memory, others unharmed."""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable

import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

FATAL = b"SFATAL\0"
MEGABYTE = 1024 * 1024
BEFORE_LOGIN = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello without asking": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "a length of zero": struct.pack(">I", 0),
    "a length of seven": struct.pack(">I", 7) + b"abc",
    "a length of two gigabytes": struct.pack(">II", 0x7FFFFFFF, wire.PROTOCOL_3_0),
    "an unknown protocol": struct.pack(">II", 8, 0x00FF0000),
    "protocol 2": struct.pack(">II", 8, 0x00020000) + bytes(64),
    "a startup packet without its end": struct.pack(">II", 17, wire.PROTOCOL_3_0) + b"user\0alic",
    "a name without value": struct.pack(">II", 14, wire.PROTOCOL_3_0) + b"user\0\0",
    "the same name twice": wire.startup().replace(b"database\0shop", b"user\0shop_ap"),
    "surplus bytes behind an SSLRequest": wire.SSL_REQUEST + wire.startup(),
    "two SSLRequests at once": wire.SSL_REQUEST * 2,
    "random bytes": random.Random(1).randbytes(4096),
}
AFTER_LOGIN = {
    "an unknown message": wire.message(b"!", b""),
    "a password when none was asked": wire.password("again"),
    "a length below four": b"Q" + struct.pack(">I", 3),
    "a frame of two gigabytes": b"Q" + struct.pack(">I", 0x7FFFFFFF),
    "a query without its end": wire.message(b"Q", b"SELECT 1"),
    "a query with a zero inside": wire.message(b"Q", b"SELECT 1\0; DELETE FROM customers\0"),
    "a query that is not UTF-8": wire.message(b"Q", b"SELECT '\xff\xfe'\0"),
    "a bind cut short": wire.message(b"B", b"\0\0\0\5\0"),
    "a parse with too many types": wire.message(b"P", b"\0SELECT 1\0" + struct.pack(">H", 65_535)),
    "a describe of nothing": wire.message(b"D", b"X\0"),
    "a function call": wire.message(b"F", struct.pack(">IHHH", 2202, 0, 0, 0)),
    "a startup packet again": wire.startup() + bytes(65_536),
    "random bytes": random.Random(2).randbytes(4096),
}


@pytest.mark.parametrize("name", BEFORE_LOGIN)
def test_garbage_before_the_login_ends_the_connection(gateway: LiveGateway, name: str) -> None:
    mark = len(gateway.world.plain.server_log())
    with gateway.raw() as connection:
        connection.sendall(BEFORE_LOGIN[name])
        connection.shutdown(1)
        said = wire.rest(connection)
    assert b"R\0\0\0\x08\0\0\0\0" not in said
    assert "connection received" not in gateway.world.plain.server_log()[mark:]
    assert gateway.psql("-c", "SELECT 1").status == 0


@pytest.mark.parametrize("name", AFTER_LOGIN)
def test_garbage_after_the_login_gets_an_error_in_postgresqls_form(gateway: LiveGateway, name: str) -> None:
    """Whether the session ends or goes on, the client hears why, and nothing of it reaches the target."""
    mark = len(gateway.world.plain.server_log())
    with gateway.raw() as connection:
        wire.logged_in(connection, gateway.mint())
        connection.sendall(AFTER_LOGIN[name] + wire.message(b"S", b""))
        said = connection.recv(65_536)
    assert said.startswith(b"E"), said
    assert FATAL in said or b"SERROR\0" in said
    assert "DELETE FROM customers" not in gateway.world.plain.server_log()[mark:]
    assert wait_until(lambda: gateway.sessions("--live") == [], 5)


def test_a_message_over_the_limit_is_refused_by_its_header_alone(gateway: LiveGateway) -> None:
    with gateway.raw() as connection:
        wire.logged_in(connection, gateway.mint())
        connection.sendall(b"Q" + struct.pack(">I", 1024 * MEGABYTE))
        said = wire.rest(connection)
    assert FATAL in said
    assert b"C08P01\0" in said


def test_a_flood_that_promises_more_than_it_sends_does_not_grow_the_gateway(gateway: LiveGateway) -> None:
    before = gateway.memory_kilobytes
    sockets = [gateway.raw() for _ in range(20)]
    try:
        for connection in sockets:
            connection.settimeout(2)
            connection.sendall(struct.pack(">II", 9000, wire.PROTOCOL_3_0))
            try:
                connection.sendall(os.urandom(MEGABYTE))
            except OSError:
                continue  # cut off, or nobody reads any more: both are right
        assert gateway.psql("-c", "SELECT 1").status == 0
        assert gateway.memory_kilobytes - before < 64 * 1024
    finally:
        for connection in sockets:
            connection.close()


def test_a_client_that_does_not_read_does_not_grow_the_gateway(gateway: LiveGateway) -> None:
    with gateway.raw() as connection:
        wire.logged_in(connection, gateway.mint())
        before = gateway.memory_kilobytes
        connection.sendall(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 400000)"))
        assert connection.recv(1)
        for _ in range(3):
            assert gateway.psql("-c", "SELECT count(*) FROM orders").status == 0
        assert gateway.memory_kilobytes - before < 64 * 1024


def test_a_login_byte_by_byte_is_a_login(gateway: LiveGateway) -> None:
    with gateway.raw() as connection:
        for byte in wire.startup():
            connection.sendall(bytes([byte]))
        assert connection.recv(9) == b"R\0\0\0\x08\0\0\0\x03"
        for byte in wire.password(gateway.mint()):
            connection.sendall(bytes([byte]))
        wire.until_ready(connection)
        for byte in wire.query("SELECT ssn FROM customers WHERE id = 1"):
            connection.sendall(bytes([byte]))
        answer = wire.until_ready(connection)
    assert b"987-65" not in answer
    assert b"4320" in answer


@pytest.mark.parametrize(
    "beginning", [b"", wire.startup()[:11], wire.startup()], ids=["silent", "stops in the startup", "no password"]
)
def test_a_login_that_stops_is_ended_when_its_time_is_over(new_gateway: Callable[..., LiveGateway], beginning: bytes) -> None:
    gateway = new_gateway(limits={"login_seconds": 2})
    with gateway.raw() as connection:
        begun = time.monotonic()
        connection.sendall(beginning)
        wire.rest(connection)
        assert 1.0 < time.monotonic() - begun < 6.0
    assert gateway.psql("-c", "SELECT 1").status == 0


def test_an_ssl_request_is_answered_once_and_gss_is_declined(gateway: LiveGateway) -> None:
    with gateway.raw() as connection:
        connection.sendall(struct.pack(">II", 8, 80_877_104))
        assert connection.recv(1) == b"N"
        connection.sendall(wire.SSL_REQUEST)
        assert connection.recv(1) == b"S"
        connection.sendall(wire.startup())
        assert b"R\0\0\0\x08\0\0\0\x03" not in wire.rest(connection)


def test_bytes_behind_the_ssl_request_do_not_become_part_of_the_session(gateway: LiveGateway) -> None:
    """Else somebody on the way could put words into the client's mouth before TLS stands."""
    with gateway.raw() as connection:
        connection.sendall(wire.SSL_REQUEST + b"\0")
        said = wire.rest(connection)
    assert not said.startswith(b"S"), said


def test_a_statement_over_the_limit_is_refused_and_the_session_goes_on(gateway: LiveGateway) -> None:
    mark = len(gateway.world.plain.server_log())
    with gateway.connect(autocommit=True) as made:
        with pytest.raises(Exception) as caught:
            made.execute("SELECT '" + "x" * (2 * MEGABYTE) + "'")
        assert getattr(caught.value, "sqlstate", None) is not None, caught.value
    assert "xxxxxxxx" not in gateway.world.plain.server_log()[mark:]


def test_deep_nesting_is_refused_not_crashed_on(gateway: LiveGateway) -> None:
    with gateway.open_psql("-At") as psql:
        answer = psql.ask("SELECT " + "(" * 20_000 + "1" + ")" * 20_000 + ";")
        assert "ERROR" in answer
        assert psql.ask("SELECT 1;") == "1"
