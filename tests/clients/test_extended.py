"""The extended protocol by hand: portals and their row limits, Flush, errors in the middle, and what is not carried."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from tests.testbed import wire
from tests.testbed.gateways import LiveGateway

pytestmark = pytest.mark.real

SYNC, FLUSH = wire.message(b"S", b""), wire.message(b"H", b"")
Messages = list[tuple[bytes, bytes]]


@pytest.fixture
def session(gateway: LiveGateway) -> Iterator[socket.socket]:
    with gateway.raw() as made:
        wire.logged_in(made, gateway.mint())
        yield made


def parse(name: str, text: str) -> bytes:
    return wire.message(b"P", f"{name}\0{text}\0".encode() + struct.pack(">H", 0))


def bind(portal: str, statement: str) -> bytes:
    return wire.message(b"B", f"{portal}\0{statement}\0".encode() + struct.pack(">HHH", 0, 0, 0))


def execute(portal: str, rows: int = 0) -> bytes:
    return wire.message(b"E", portal.encode() + b"\0" + struct.pack(">I", rows))


def describe(kind: bytes, name: str) -> bytes:
    return wire.message(b"D", kind + name.encode() + b"\0")


def messages(data: bytes) -> Messages:
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at + 1)
        found.append((data[at : at + 1], data[at + 5 : at + 1 + length]))
        at += 1 + length
    return found


def kinds(data: bytes) -> str:
    return b"".join(kind for kind, _ in messages(data)).decode()


def said(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    return wire.until_ready(connection)


def until(connection: socket.socket, last: str) -> bytes:
    """Everything up to and with the message of this kind or an error, where no ReadyForQuery is due."""
    got = b""
    while not got or kinds(got)[-1] not in (last, "E"):
        chunk = connection.recv(65_536)
        assert chunk, f"the connection ended after {got!r}"
        got += chunk
    return got


def test_a_portal_is_read_in_pages_each_of_them_covered(session: socket.socket) -> None:
    said(session, wire.query("BEGIN"))
    answer = said(session, parse("", "SELECT ssn FROM customers ORDER BY id") + bind("p", "") + execute("p", 3) + SYNC)
    assert kinds(answer) == "12DDDsZ"
    pages = answer
    for kind in ("DDDsZ", "DDCZ"):
        answer = said(session, execute("p", 3) + SYNC)
        assert kinds(answer) == kind
        pages += answer
    assert pages.count(b"***-**-43") == 8
    assert b"987-65" not in pages
    assert kinds(said(session, execute("p") + SYNC)) == "CZ"


def test_portals_side_by_side_are_covered_each_by_its_own_plan(session: socket.socket) -> None:
    said(
        session, wire.query("SELECT FROM orders, customers LIMIT 0; BEGIN")
    )  # in the middle of a batch no table can be looked up
    first = parse("a", "SELECT ssn FROM customers ORDER BY id") + bind("p", "a") + execute("p", 1)
    second = parse("b", "SELECT id, status FROM orders ORDER BY id") + bind("q", "b") + execute("q", 1)
    answer = said(session, first + second + execute("p", 1) + execute("q", 1) + execute("p", 1) + SYNC)
    assert kinds(answer) == "12Ds12DsDsDsDsZ"
    rows = [body for kind, body in messages(answer) if kind == b"D"]
    assert [b"***-**-43" in row for row in rows] == [True, False, True, False, True]
    assert b"987-65" not in answer


def test_what_is_flushed_is_answered_before_its_sync(session: socket.socket) -> None:
    session.sendall(parse("s", "SELECT ssn, id FROM customers WHERE id = 1") + describe(b"S", "s") + FLUSH)
    assert kinds(until(session, "T")) == "1tT"
    session.sendall(bind("", "s") + describe(b"P", "") + execute("") + FLUSH)
    answer = until(session, "C")
    assert kinds(answer) == "2TDC"
    assert b"***-**-4320" in answer
    assert kinds(said(session, SYNC)) == "Z"


def test_an_error_in_the_middle_skips_to_its_sync_and_no_further(session: socket.socket) -> None:
    good = parse("", "SELECT 1") + bind("", "") + execute("")
    bad = parse("", "SELECT nonsense FROM customers") + bind("", "") + execute("")
    refused = parse("", "DELETE FROM customers") + bind("", "") + execute("")
    session.sendall(good + bad + good + SYNC + good + refused + good + SYNC + good + SYNC)
    answer = wire.until_ready(session)
    while kinds(answer).count("Z") < 3:
        answer += wire.until_ready(session)
    assert kinds(answer) == "12DCEZ12DCEZ12DCZ"
    errors = [body for kind, body in messages(answer) if kind == b"E"]
    assert b"C42703\0" in errors[0]
    assert b"C42501\0" in errors[1]


def test_a_named_statement_of_a_refused_batch_is_not_there(session: socket.socket) -> None:
    answer = said(session, parse("gone", "DELETE FROM customers") + describe(b"S", "gone") + SYNC)
    assert kinds(answer) == "EZ"
    answer = said(session, describe(b"S", "gone") + SYNC)
    assert b"C26000\0" in answer


def test_a_function_call_is_refused_and_the_session_goes_on(session: socket.socket) -> None:
    answer = said(session, wire.message(b"F", struct.pack(">IHHH", 2026, 0, 0, 0)))
    assert kinds(answer) == "EZ"
    assert b"C42501\0" in answer
    assert b"use SELECT f(" in answer
    assert kinds(said(session, wire.query("SELECT 1"))) == "TDCZ"


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
def test_a_replication_connection_is_refused_before_a_token_is_asked_for(gateway: LiveGateway, value: str) -> None:
    mark = len(gateway.world.plain.server_log())
    with gateway.raw() as connection:
        connection.sendall(wire.startup(replication=value))
        answer = wire.rest(connection)
    assert kinds(answer) == "E"
    assert b"replication connections are not carried" in answer
    assert "connection received" not in gateway.world.plain.server_log()[mark:]


@pytest.mark.parametrize(
    "command", ["IDENTIFY_SYSTEM", "START_REPLICATION 0/0", "BASE_BACKUP", "CREATE_REPLICATION_SLOT a LOGICAL pgoutput"]
)
def test_a_command_of_replication_is_no_statement_and_the_session_goes_on(session: socket.socket, command: str) -> None:
    answer = said(session, wire.query(command))
    assert kinds(answer) == "EZ"
    assert kinds(said(session, wire.query("SELECT 1"))) == "TDCZ"


def test_notices_and_settings_of_the_server_come_through(session: socket.socket) -> None:
    said(session, wire.query("BEGIN"))
    answer = said(session, wire.query("BEGIN"))
    assert kinds(answer) == "NCZ"
    assert b"already a transaction in progress" in answer
    said(session, wire.query("ROLLBACK"))
    answer = said(session, wire.query("SET timezone = 'Asia/Tokyo'"))
    assert (b"S", b"TimeZone\0Asia/Tokyo\0") in messages(answer)


def test_an_unnamed_statement_outlives_the_gateways_own_questions(session: socket.socket) -> None:
    """Between its Parse and its Bind the gateway may ask the catalog: that must not take it away."""
    said(session, parse("", "SELECT id FROM orders WHERE id = 1") + SYNC)
    said(session, parse("named", "SELECT count(*) FROM pg_class") + SYNC)
    said(session, parse("other", "SELECT ssn FROM customers WHERE id = 1") + SYNC)
    answer = said(session, bind("", "") + execute("") + SYNC)
    assert kinds(answer) == "2DCZ"
